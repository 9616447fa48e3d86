"""The Vision Transformer of transformers (Dosovitskiy et al. 2020, arXiv 2010.11929), built from a config alone."""

from torch import Tensor, nn

from vitbench import UnusableError, UsageError

SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "patch_size": 2,
}
"""What is built where no file is named."""


class Logits(nn.Module):
    """Unwraps the ModelOutput of transformers, which no loss of torch takes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.facts = {"config": type(network.config).__name__}

    def forward(self, images: Tensor) -> Tensor:
        return self.network(pixel_values=images).logits


def build(num_classes: int, image_size: tuple[int, int], in_channels: int, config: str) -> nn.Module:
    """Return a module that maps images [B, C, H, W] to logits [B, K]; no weights are looked for."""
    from transformers import ViTConfig, ViTForImageClassification

    try:
        made = ViTConfig.from_json_file(config) if config else ViTConfig(**SMALL)
    except (ValueError, TypeError) as error:
        raise UnusableError(f"{config} is not the config of a ViT: {error}.") from error
    patch = made.patch_size
    if image_size[0] % patch or image_size[1] % patch:
        raise UsageError(
            f"its patch_size, {patch}, does not divide images of {image_size[0]} x {image_size[1]} pixels."
        )
    made.image_size, made.num_channels, made.num_labels = tuple(image_size), in_channels, num_classes
    return Logits(ViTForImageClassification(made))
