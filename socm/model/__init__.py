"""What is talked about: campaigns, clusters, plans, and what they came to."""
