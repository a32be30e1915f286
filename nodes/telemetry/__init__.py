"""What a process says about itself: log (`logs`), metrics (`catalogue`, `metrics`), spans of its calls (`spans`)."""
