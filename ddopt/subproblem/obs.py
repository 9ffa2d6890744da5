import math
import torch
from ddopt.subproblem.subproblem import Candidate, Subproblem
from ddopt.vectors import dot, norm
class OBS(Subproblem):
    name = "obs"
    def solve(self, model, radius):
        g = model.gradient; gg = dot(g,g)
        if gg == 0: return Candidate(torch.zeros_like(g),0.,0.)
        if not model.k:
            lam = torch.zeros(0,dtype=torch.float64); gp = lam
        else:
            lam = model.eig
            Pg = (model.Y@g - model.gamma*(model.S@g)).double()
            gp = model.W.T @ Pg
        rest = max(gg - float(gp@gp), 0.)
        L = torch.cat([lam, torch.tensor([model.gamma],dtype=torch.float64)])
        h2 = torch.cat([gp**2, torch.tensor([rest],dtype=torch.float64)])
        lo = max(0., -float(L.min()))
        def length(sig): return math.sqrt(float((h2/(L+sig)**2).sum()))
        if L.min()>0 and length(0.)<=radius: sig=0.
        else:
            a, b = lo, lo + math.sqrt(gg)/radius + 1e-300
            sig = b
            for _ in range(200):
                n_ = length(sig)
                if abs(n_-radius) <= 1e-13*radius: break
                if n_ > radius: a = sig
                else: b = sig
                d = float((h2/(L+sig)**3).sum())
                new = sig + (n_/radius-1)*n_**2/d
                sig = new if a < new < b else 0.5*(a+b)
                if b-a <= 1e-15*max(1,b): break
        c = -1/(lam+sig)*gp + gp/(model.gamma+sig)
        p = -g/(model.gamma+sig)
        if model.k:
            w = (model.W@c).to(g.dtype)
            p = p + (w@model.Y) - model.gamma*(w@model.S)
        pred = float((h2/(L+sig)).sum()) - 0.5*float((h2*L/(L+sig)**2).sum())
        return Candidate(p, pred, min(norm(p), radius))
