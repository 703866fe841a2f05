"""Classes in several processes: time, memory and bytes exchanged, beside what PyTorch's users have for it."""
