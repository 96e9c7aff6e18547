"""What can be set: each option declared once, checked, shown; credentials; rules."""
