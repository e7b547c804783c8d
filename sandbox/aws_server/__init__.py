"""AWS, played by moto, that treats access keys as the real one does where it matters for them.

`python -m sandbox.aws_server` runs it. What it adds to moto, and how near to AWS that is:

- A new key is refused at first, and then by some replicas only. There are two replicas, calls go
  to them in turn, and one learns of the key after 2 seconds, the other after 4. (AWS: some ten
  seconds, any number of replicas, any order.) The administrator's key is known from the start.
- An inactive key is refused at once. Once it is active again, the replicas learn of that after 1
  and 2 seconds. A deleted key is refused at once. (AWS: neither is at once.)
- A call whose signature is right is a use of the key, even if no policy allows the call. Only the
  first use in 15 minutes is recorded, and it can be read at once. (AWS: some minutes later.)
- `SimulatePrincipalPolicy` answers for users, by the evaluator that decides their calls. That is
  moto's, which is no match for AWS's in conditions, variables and boundaries.
- AWS's policies for compromised keys are there to be attached, and no other of its own.
- Who names no user in `UpdateAccessKey` or `DeleteAccessKey` means oneself.

A test makes a key older through a door that AWS does not have: see `door`.
"""

AGE = "/moto-api/sandbox/age"
"""Where the door is."""
