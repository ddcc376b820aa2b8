"""The whole network.

    tokens -> encoder -> emb_fusion -+
                                     +-> rag_fusion -> transformer -> heads -> logits
    references ------> emb_fusion ---+

This is `model.retrieved = "before"`. With "through" the tokens of neighbours pass the encoder and
the transformer like those of the query, and are fused after it. With "none" there are no neighbours
and there is no fusion:

    tokens -----> encoder -> emb_fusion -> transformer -+
                                                        +-> rag_fusion -> heads -> logits
    neighbours -> encoder -> emb_fusion -> transformer -+

With `model.population` the frequencies by population are added to the query after `emb_fusion`.

B query haplotypes (two of each sample, side by side), K neighbours, L sites in a window,
D embedding width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from vcfbert.config import ModelConfig
from vcfbert.domain import tokens
from vcfbert.model import focal_link, losses
from vcfbert.model.embedding import EmbeddingFusion, Encoder, SiteFeatures, gather_codebook
from vcfbert.model.fusion import LEAST_PROBABILITY, NUM_GROUPS, RagFusion
from vcfbert.model.population import PopulationInput
from vcfbert.model.transformer import Block, rotary_rotation

NUM_GENOTYPES = 3


@dataclass(frozen=True)
class Logits:
    """Unnormalised log probabilities.

    haplotype  REF or ALT of each query haplotype
    genotype   0, 1 or 2 ALT copies of each sample
    """

    haplotype: Float[Tensor, "B L 2"]
    genotype: Float[Tensor, "samples L 3"]


class Imputer(nn.Module):
    """Retrieval-augmented BERT over the sites of one window.

    Each haplotype is a sequence with its own neighbours. The genotype head combines the two of a
    sample. Their order in a VCF has no meaning, so both share one haplotype head and the genotype
    head is symmetric.
    """

    def __init__(self, settings: ModelConfig, focal_gamma: float = 0.0) -> None:
        """Make the network; `focal_gamma` of its loss is needed only if it predicts."""
        super().__init__()
        width = settings.width
        self.settings = settings
        self.focal_gamma = focal_gamma
        self.encoder = Encoder(width)
        self.emb_fusion = EmbeddingFusion(width)
        has_neighbours = settings.retrieved != "none"
        self.population = PopulationInput(width) if settings.population else None
        self.rag_fusion = (
            RagFusion(width, settings.fusion, has_votes=settings.votes) if has_neighbours else None
        )
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.num_layers))
        self.norm = nn.LayerNorm(width)
        self.haplotype_head = nn.Linear(width, 2)
        self.copy_gate = nn.Linear(width, NUM_GROUPS + 1) if settings.copy_skip else None
        self.genotype_in = nn.Linear(2 * width, width)
        self.genotype_out = nn.Linear(width, NUM_GENOTYPES)

    def initialise(self, generator: torch.Generator) -> None:
        """Set every initial value; the same generator gives the same network."""
        for name, parameter in sorted(self.named_parameters()):
            if name.endswith("norm.weight"):
                nn.init.ones_(parameter)
            elif parameter.dim() < 2:
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.02, generator=generator)
        self._initialise_special(generator)

    def _initialise_special(self, generator: torch.Generator) -> None:
        """Set the initial values that differ from the general rule, so that training copies first.

        The output of a new network is the vote of the neighbours.
        """
        # Raw embeddings of unit size, so that squared distances start near 1 for each mismatch.
        nn.init.normal_(
            self.encoder.token.weight, std=self.settings.width**-0.5, generator=generator
        )
        residual = (2 * max(len(self.blocks), 1)) ** -0.5 * 0.02
        for block in self.blocks:
            assert isinstance(block, Block)
            nn.init.normal_(block.attention_out.weight, std=residual, generator=generator)
            nn.init.normal_(block.feedforward_out.weight, std=residual, generator=generator)
        if self.rag_fusion is not None:
            self.rag_fusion.initialise_copying()
        if self.copy_gate is not None:
            # The correction of the neighbours' vote starts at zero.
            nn.init.zeros_(self.haplotype_head.weight)
            nn.init.zeros_(self.copy_gate.weight)
        nn.init.zeros_(self.genotype_out.weight)

    def forward(
        self,
        query_tokens: Integer[Tensor, "B L"],
        features: SiteFeatures,
        neighbour_tokens: Integer[Tensor, "B K L"],
        retrieved: Float[Tensor, "V L D"] | Float[Tensor, "B K L D"] | None,
        population: Integer[Tensor, "B"] | None = None,
    ) -> Logits:
        """Predict every site of one window.

        query_tokens      under the mask; rows 2 i and 2 i + 1 are one sample
        neighbour_tokens  complete tokens of the neighbours of each row; K is 0 without retrieval.
                          With `returned = "masked"` those masked in the query are not read
        retrieved         complete raw embeddings of the neighbours, or the codebook of the window;
                          read only with `retrieved = "before"`
        population        index of the population of each row, or `population.UNKNOWN`; read only
                          with `population = True`
        """
        query = self.emb_fusion(self.encoder(query_tokens, features), features)  # (B, L, D)
        if self.population is not None:
            assert population is not None
            query = query + self.population(features, population)
        votes = None
        if self.rag_fusion is None:
            states = self.transform(query, features)
        elif self.settings.retrieved == "through":
            if self.settings.returned == "masked":
                is_masked = (query_tokens == tokens.MASK)[:, None]
                neighbour_tokens = neighbour_tokens.masked_fill(is_masked, tokens.MASK)
            references = self._embed_live(neighbour_tokens, features)
            query, references = self._transform_both(query, references, features)
            fused = self.rag_fusion(query, query_tokens, neighbour_tokens, references, features)
            states, votes = self.norm(fused.states), fused.votes
        else:
            assert retrieved is not None
            references = self.emb_fusion(retrieved, features)
            fused = self.rag_fusion(query, query_tokens, neighbour_tokens, references, features)
            states, votes = self.transform(fused.states, features), fused.votes
        haplotype = self.haplotype_head(states).float()
        if self.copy_gate is not None:
            assert votes is not None
            haplotype = haplotype + self._copied(states, votes)
        return Logits(haplotype=haplotype, genotype=self._genotype(states, haplotype))

    def transform(
        self, states: Float[Tensor, "B L D"], features: SiteFeatures
    ) -> Float[Tensor, "B L D"]:
        """Apply the transformer and the last norm."""
        return self.norm(self._run_blocks(states, features))

    def _run_blocks(
        self, states: Float[Tensor, "B L D"], features: SiteFeatures
    ) -> Float[Tensor, "B L D"]:
        head_width = self.settings.width // self.settings.num_heads
        rotation = rotary_rotation(states.shape[1], head_width, states.device)
        is_site = None if features.is_full else features.is_site
        for block in self.blocks:
            states = block(states, rotation, is_site)
        return states

    def _embed_live(
        self, neighbour_tokens: Integer[Tensor, "B K L"], features: SiteFeatures
    ) -> Float[Tensor, "B K L D"]:
        """Embeddings of the neighbours after `emb_fusion`, with the current weights."""
        codebook = self.emb_fusion(self.encoder.codebook(features), features)
        return gather_codebook(codebook, neighbour_tokens)

    def _transform_both(
        self,
        query: Float[Tensor, "B L D"],
        references: Float[Tensor, "B K L D"],
        features: SiteFeatures,
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B K L D"]]:
        """Apply the transformer to the query and to each neighbour separately."""
        both = torch.cat([query[:, None], references], dim=1)
        states = self._run_blocks(both.flatten(0, 1), features).view_as(both)
        return states[:, 0], states[:, 1:]

    def _copied(self, states: Tensor, votes: Float[Tensor, "B L G"]) -> Float[Tensor, "B L 2"]:
        """Logits of the neighbours' vote: a gated mean over groups, sharpened or flattened.

        At the start they are those at which the loss of the vote is smallest.
        """
        assert self.copy_gate is not None
        gate = self.copy_gate(states).float()
        mean = (gate[..., :NUM_GROUPS].softmax(dim=-1) * votes).sum(dim=-1)
        log_odds = torch.logit(mean, eps=LEAST_PROBABILITY) * torch.exp(gate[..., NUM_GROUPS])
        both = torch.stack([-log_odds / 2, log_odds / 2], dim=-1)
        if self.focal_gamma == 0:
            return both
        return _centred(
            focal_link.minimiser(functional.log_softmax(both, dim=-1), self.focal_gamma)
        )

    def _genotype(self, states: Tensor, haplotype: Tensor) -> Float[Tensor, "samples L 3"]:
        """Genotype of two independent haplotypes, corrected from both states."""
        first, second = states[0::2], states[1::2]
        both = torch.cat([first + second, (first - second).abs()], dim=-1)
        correction = self.genotype_out(functional.gelu(self.genotype_in(both))).float()
        starts_from_copying = self.copy_gate is not None and self.focal_gamma > 0
        if starts_from_copying:
            log_probability = losses.log_posterior(haplotype, self.focal_gamma)
        else:
            log_probability = functional.log_softmax(haplotype, dim=-1)
        one, two = log_probability[0::2], log_probability[1::2]
        ref_ref = one[..., 0] + two[..., 0]
        mixed = torch.logaddexp(one[..., 0] + two[..., 1], one[..., 1] + two[..., 0])
        alt_alt = one[..., 1] + two[..., 1]
        independent = torch.stack([ref_ref, mixed, alt_alt], dim=-1)
        if starts_from_copying:
            independent = focal_link.minimiser(independent, self.focal_gamma).float()
        return independent + correction


def _centred(log_q: Float[Tensor, "B L 2"]) -> Float[Tensor, "B L 2"]:
    """The same logits with mean 0, in float32."""
    return (log_q - log_q.mean(dim=-1, keepdim=True)).float()


def build(settings: ModelConfig, seed: int, focal_gamma: float = 0.0) -> Imputer:
    """Return a network with initial weights drawn from the seed.

    focal_gamma  of its loss; needed only if the network predicts, not for its encoder
    """
    model = Imputer(settings, focal_gamma)
    model.initialise(torch.Generator().manual_seed(seed))
    return model
