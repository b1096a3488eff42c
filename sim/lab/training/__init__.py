"""What `sim.lab.train_model` trains: the model in torch, its training rows, how it is judged. All of it needs torch."""
