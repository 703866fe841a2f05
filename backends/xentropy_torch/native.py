"""PyTorch's own functions, kept from before any ``patched()``: they refuse what they refuse in their own words.

Arguments that ours has no reading for go to them unchanged, so exceptions and their messages are PyTorch's.
"""

from torch.nn import functional

binary_cross_entropy = functional.binary_cross_entropy
binary_cross_entropy_with_logits = functional.binary_cross_entropy_with_logits
cross_entropy = functional.cross_entropy
nll_loss = functional.nll_loss
