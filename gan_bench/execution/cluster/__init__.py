"""Trials on a Ray cluster: plain tasks, retried and resumed by gan_bench itself."""
