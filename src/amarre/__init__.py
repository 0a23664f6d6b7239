"""Amarre keeps a company's WhatsApp connections alive, and tells a person when a machine cannot."""

__version__ = "0.1.0"
