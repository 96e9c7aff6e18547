"""What a sender has taken from its queue, in which order and by whom it is done."""
