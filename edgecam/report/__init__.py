"""`edgecam report`: one archive to attach to a bug report."""
