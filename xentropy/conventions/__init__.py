"""What each framework's own losses do with the questions that losses answer differently, measured where it runs."""
