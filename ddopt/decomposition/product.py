"""Product decomposition: parts of the samples times groups of parameters (hybrid)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ddopt.decomposition.decomposition import Decomposition, Subdomain
from ddopt.evaluation.problem import Problem
from ddopt.setup.component import Chosen, Settings


class Product(Decomposition):
    """Subdomain i N_P + j sees part i of the samples and moves group j of the parameters.

    Its f̃_d is the consistent objective of its part with all other groups held at θ_k, so its
    gradient at θ_k is R_j g_k. Source: the outlook of arXiv 2502.05133.
    """

    name = "product"

    class Config(Settings):
        """The two factors."""

        samples: Annotated[Settings, Chosen("decomposition")] = Field(
            "data", validate_default=True, description="how the samples are cut into N_D parts"
        )
        parameters: Annotated[Settings, Chosen("decomposition")] = Field(
            "layers", validate_default=True, description="how parameters are cut into N_P groups"
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.samples: Any = self.config.samples.build()
        self.parameters: Any = self.config.parameters.build()

    def prepare(self, seed: int) -> None:
        """Hand the seed on."""
        self.samples.prepare(seed)
        self.parameters.prepare(seed)

    def split(self, problem: Problem) -> list[Subdomain]:
        """All pairs of a part and a group; a single pair is the problem itself.

        Raises ``ValueError`` if a factor cuts what the other one is there for.
        """
        parts, groups = self.samples.split(problem), self.parameters.split(problem)
        if any(part.indices is not None for part in parts):
            raise self._misplaced("samples", "parameters")
        if any(group.samples is not None for group in groups):
            raise self._misplaced("parameters", "samples")
        pairs = [(part, group) for part in parts for group in groups]
        return [
            Subdomain(d, group.indices, part.samples, part.weight, part.proportional)
            for d, (part, group) in enumerate(pairs)
        ]

    def _misplaced(self, key: str, cut: str) -> ValueError:
        name = getattr(self.config, key).component.name
        return ValueError(
            f"the decomposition {name!r} cuts {cut}, and was given as the factor {key!r} of a "
            f"product; give one that cuts {key} alone, for example "
            f"{'data' if key == 'samples' else 'layers'!r}"
        )
