"""What ``sr_monitor`` learns from the streams, keeps as history, and shows as metrics."""
