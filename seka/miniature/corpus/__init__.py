"""The text that the embedded model is trained on: seeded, endless, generated here. No marks, no steering. Imports nothing."""
