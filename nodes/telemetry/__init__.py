"""What a process says about itself: log lines (`logs`) and figures (`metrics`)."""
