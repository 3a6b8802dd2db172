"""The version of seka, in one place."""

VERSION = "0.1.0"
