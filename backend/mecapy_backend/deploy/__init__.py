"""`mecapy deploy …`: writes down what should be there; others bring it about."""
