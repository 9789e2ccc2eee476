"""Triton kernels that compute the convolutional nets of many trials at once; ``docs/kernels.md`` explains them."""
