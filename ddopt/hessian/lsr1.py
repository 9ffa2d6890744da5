import torch
from pydantic import Field
from ddopt.component import Settings
from ddopt.hessian.hessian import Hessian, Model
from ddopt.vectors import dot
class CompactModel(Model):
    def __init__(self, gradient, S, Y, SS, SY, YY, gamma):
        self.gradient, self.S, self.Y, self.gamma = gradient, S, Y, gamma
        A = torch.tril(SY) + torch.tril(SY, -1).T - gamma*SS
        G = YY - gamma*(SY+SY.T) + gamma**2*SS
        k = len(A)
        self.k = k
        if k:
            lam, V = torch.linalg.eigh(G)
            keep = lam > 1e-12*lam[-1]
            lam, V = lam[keep], V[:, keep]
            root = lam.sqrt()
            R = root[:,None]*V.T
            C = R @ torch.linalg.pinv(A, hermitian=True, rtol=1e-12) @ R.T
            e, U = torch.linalg.eigh(0.5*(C+C.T))
            self.eig = e + gamma
            self.W = V @ (U/root[:,None])   # QU = Psi^T W
    def mv(self, v): raise AssertionError
class LSR1(Hessian):
    name = "lsr1"
    class Config(Settings):
        memory: int = Field(100, ge=1)
        fraction: float = Field(0.5)
    def __init__(self, config=None, **o):
        super().__init__(config, **o); self.S = self.Y = None; self.k = 0
    def prepare(self, like):
        m = self.config.memory
        self.S = like.new_zeros(m, like.numel()); self.Y = like.new_zeros(m, like.numel())
        self.SS = torch.zeros(m,m,dtype=torch.float64); self.SY=self.SS.clone(); self.YY=self.SS.clone()
    def update(self, s, y):
        if self.S is None: self.prepare(s)
        if not torch.isfinite(y).all(): return
        m = self.config.memory
        if self.k == m:
            for M in (self.S, self.Y): M[:-1] = M[1:].clone()
            for M in (self.SS,self.SY,self.YY): M[:-1,:-1] = M[1:,1:].clone()
            self.k -= 1
        i = self.k
        self.S[i]=s; self.Y[i]=y; self.k += 1; k=self.k
        S, Y = self.S[:k], self.Y[:k]
        f = lambda a,b: (a@b).double()
        self.SS[i,:k]=self.SS[:k,i]=f(S,s); self.SY[:k,i]=f(S,y); self.SY[i,:k]=f(Y,s); self.YY[i,:k]=self.YY[:k,i]=f(Y,y)
    def model(self, problem, point):
        if self.S is None: self.prepare(point.theta)
        k = self.k
        SS, SY, YY = self.SS[:k,:k], self.SY[:k,:k], self.YY[:k,:k]
        c = torch.diag(SY)/torch.diag(SS) if k else torch.ones(0)
        pos = c[c>0]
        gamma = float(self.config.fraction*pos.min()) if len(pos) else 1e-4
        return CompactModel(point.gradient, self.S[:k], self.Y[:k], SS, SY, YY, gamma)
    def reset(self): self.k = 0
    def state_dict(self):
        return {"S":self.S,"Y":self.Y,"SS":self.SS,"SY":self.SY,"YY":self.YY,"k":self.k}
    def load_state_dict(self, s):
        self.S,self.Y,self.SS,self.SY,self.YY,self.k = (s[x].clone() if x!="k" else int(s[x]) for x in ("S","Y","SS","SY","YY","k"))
