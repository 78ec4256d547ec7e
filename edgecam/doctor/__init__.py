"""`edgecam doctor`: what keeps pictures from getting through, found by trying each step for real."""
