"""What sync costs beside the engine that it asks. Run by ``make bench``."""
