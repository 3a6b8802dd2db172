"""The browser page of seka. `main` launches it; nothing here is imported by the library."""
