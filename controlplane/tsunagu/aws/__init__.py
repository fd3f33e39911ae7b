"""AWS's APIs as this mesh answers them: one HTTP endpoint, services as tables of operations over botocore's models."""
