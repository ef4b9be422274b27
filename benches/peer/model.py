"""The recursive network in PyTorch, with the tensors of `Recursive::parameters()` by the same names."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from data import MAX_CHARGE, Model, Shown


class SelfAttention(nn.Module):
    """Query, key and value are one product."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x, visible=None):
        query, key, value = split(self.query_key_value(x), 3, self.heads)
        return self.output(attend(query, key, value, visible))

    def named(self, path):
        yield from parts(path, ["query", "key", "value"], self.query_key_value)
        yield from linear(f"{path}.output", self.output)


class CrossAttention(nn.Module):
    """Keys and values are made apart, so that those of the spectrum are made once."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def memory(self, x):
        return split(self.key_value(x), 2, self.heads)

    def forward(self, x, memory, visible=None):
        (query,) = split(self.query(x), 1, self.heads)
        return self.output(attend(query, *memory, visible))

    def named(self, path):
        yield from linear(f"{path}.query", self.query)
        yield from parts(path, ["key", "value"], self.key_value)
        yield from linear(f"{path}.output", self.output)


def split(x, count, heads):
    """`[B, S, count d]` to `count` times `[B, H, S, d/H]`."""
    batch, length, width = x.shape
    return x.view(batch, length, count, heads, width // count // heads).permute(2, 0, 3, 1, 4).unbind(0)


def attend(query, key, value, visible):
    seen = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    return seen.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.narrow(F.gelu(self.widen(x)))

    def named(self, path):
        yield from linear(f"{path}.widen", self.widen)
        yield from linear(f"{path}.narrow", self.narrow)


class EncoderLayer(nn.Module):
    def __init__(self, model, dropout):
        super().__init__()
        self.norm_attention = nn.LayerNorm(model.hidden)
        self.attention = SelfAttention(model.hidden, model.heads)
        self.norm_feed_forward = nn.LayerNorm(model.hidden)
        self.feed_forward = FeedForward(model.hidden)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, visible):
        x = x + self.drop(self.attention(self.norm_attention(x), visible))
        return x + self.drop(self.feed_forward(self.norm_feed_forward(x)))

    def named(self, path):
        yield from self.attention.named(f"{path}.attention")
        yield from self.feed_forward.named(path)
        yield from norm(f"{path}.norm_attention", self.norm_attention)
        yield from norm(f"{path}.norm_feed_forward", self.norm_feed_forward)


class DecoderLayer(nn.Module):
    def __init__(self, model, dropout):
        super().__init__()
        self.norm_self = nn.LayerNorm(model.hidden)
        self.self_attention = SelfAttention(model.hidden, model.heads)
        self.norm_cross = nn.LayerNorm(model.hidden)
        self.cross_attention = CrossAttention(model.hidden, model.heads)
        self.norm_feed_forward = nn.LayerNorm(model.hidden)
        self.feed_forward = FeedForward(model.hidden)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, visible):
        x = x + self.drop(self.self_attention(self.norm_self(x)))
        x = x + self.drop(self.cross_attention(self.norm_cross(x), memory, visible))
        return x + self.drop(self.feed_forward(self.norm_feed_forward(x)))

    def named(self, path):
        yield from self.self_attention.named(f"{path}.self_attention")
        yield from self.cross_attention.named(f"{path}.cross_attention")
        yield from self.feed_forward.named(path)
        for name in ["norm_self", "norm_cross", "norm_feed_forward"]:
            yield from norm(f"{path}.{name}", getattr(self, name))


class Recursive(nn.Module):
    """An encoder of the peaks, and a small decoder that refines a latent state and its own answer, pass after pass."""

    def __init__(self, model: Model, dropout=0.0):
        super().__init__()
        width, words = model.hidden, len(model.vocabulary)
        self.model = model
        self.intensity = nn.Linear(1, model.intensity_width)
        self.charge = nn.Embedding(MAX_CHARGE + 1, width)
        self.encoder = nn.ModuleList(EncoderLayer(model, dropout) for _ in range(model.encoder_layers))
        self.norm_encoder = nn.LayerNorm(width)
        self.answer = nn.Parameter(torch.zeros(model.length, words))
        self.latent = nn.Parameter(torch.randn(model.length, width) * 0.02)
        self.embed = nn.Parameter(torch.randn(words, width) / math.sqrt(width))
        self.position = nn.Parameter(torch.randn(model.length, width) * 0.5)
        self.step = nn.Parameter(torch.randn(model.supervision_steps, width) * 0.02)
        self.decoder = nn.ModuleList(DecoderLayer(model, dropout) for _ in range(model.decoder_layers))
        self.norm_latent = nn.LayerNorm(width)
        self.norm_answer = nn.LayerNorm(width)
        self.out = nn.Linear(width, words)
        self.gate = nn.Linear(width, 1)
        self.drop = nn.Dropout(dropout)
        nn.init.normal_(self.charge.weight, std=0.02)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, gate_bias(model))

    def forward(self, shown: Shown):
        """Logits `[B, L, V]` after each supervised pass."""
        memories = self.encode(shown)
        batch = shown.mz.shape[0]
        y, z = self.answer.repeat(batch, 1, 1), self.latent.repeat(batch, 1, 1)
        answers = []
        for step in self.step:
            y, z = self.advance(step, y, z, memories, shown.visible)
            answers.append(y)
        return answers

    def encode(self, shown):
        """Keys and values of the spectrum, for each layer of the decoder."""
        peaks = torch.cat([shown.mz, self.intensity(shown.brightness)], dim=2)
        precursor = self.charge(shown.charge) + shown.precursor
        x = self.drop(torch.cat([precursor, peaks], dim=1))
        for layer in self.encoder:
            x = layer(x, shown.visible)
        spectrum = self.norm_encoder(x)
        return [layer.cross_attention.memory(spectrum) for layer in self.decoder]

    def advance(self, step, y, z, memories, visible):
        """The answer and the latent state after one more supervised pass."""
        known = y.softmax(-1) @ self.embed + (self.position + step)
        for _ in range(self.model.latent_steps):
            z = z + self.norm_latent(self.decode(known + z, memories, visible))
        h = known + z
        own = [layer.cross_attention.memory(h) for layer in self.decoder]
        x = self.norm_answer(self.decode(h, own, None))
        # Where the layers are in bf16, the answer is not.
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.out.weight.dtype)
            return torch.lerp(y, self.out(x), self.gate(x).sigmoid()), z

    def decode(self, x, memories, visible):
        for layer, memory in zip(self.decoder, memories):
            x = layer(x, memory, visible)
        return x

    def named(self):
        """The names of `Recursive::parameters()`, each with the part of a parameter it names and whether it is transposed:
        our linear weights are `[in, out]`."""
        yield from linear("peaks.intensity", self.intensity)
        yield "precursor.charge", self.charge.weight, slice(None), False
        for index, layer in enumerate(self.encoder):
            yield from layer.named(f"encoder.{index}")
        yield from norm("encoder.norm", self.norm_encoder)
        for name in ["answer", "latent", "embed", "position", "step"]:
            yield f"core.{name}", getattr(self, name), slice(None), False
        for index, layer in enumerate(self.decoder):
            yield from layer.named(f"decoder.{index}")
        yield from norm("core.norm_latent", self.norm_latent)
        yield from norm("core.norm_answer", self.norm_answer)
        yield from linear("core.out", self.out)
        yield from linear("core.gate", self.gate)

    def write(self, of=lambda parameter: parameter):
        """The parameters, or whatever `of` gives for each of them, by name."""
        tensors = {}
        for name, parameter, rows, transposed in self.named():
            value = of(parameter).detach()[rows]
            tensors[name] = (value.T if transposed else value).contiguous().clone()
        return tensors

    @torch.no_grad()
    def read(self, tensors):
        """Takes the parameters from tensors by name; all of them must be there, and no others."""
        left = dict(tensors)
        for name, parameter, rows, transposed in self.named():
            value = left.pop(name)
            value = value.T if transposed else value
            if value.shape != parameter[rows].shape:
                raise ValueError(f"`{name}` has the shape {tuple(value.shape)}, not {tuple(parameter[rows].shape)}")
            parameter[rows] = value.to(parameter.dtype)
        if left:
            raise ValueError(f"the model has no parameter `{min(left)}`")


def gate_bias(model):
    kept = 1 - 1 / (1 + math.exp(2))
    gate = 1 - kept ** (8 / max(model.supervision_steps, 1))
    return math.log(gate / (1 - gate))


def linear(path, layer):
    yield f"{path}.weight", layer.weight, slice(None), True
    yield f"{path}.bias", layer.bias, slice(None), False


def parts(path, names, layer):
    """Layers that are one here and several in our files."""
    width = layer.weight.shape[0] // len(names)
    for index, name in enumerate(names):
        rows = slice(index * width, (index + 1) * width)
        yield f"{path}.{name}.weight", layer.weight, rows, True
        yield f"{path}.{name}.bias", layer.bias, rows, False


def norm(path, layer):
    yield f"{path}.gamma", layer.weight, slice(None), False
    yield f"{path}.beta", layer.bias, slice(None), False
