"""The whole product: real daemon, real pages, real Chromium; what counts is frames that were decoded."""
