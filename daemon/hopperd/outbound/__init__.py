"""WHO IS TOLD: the integrator's hook and people. Each module is one way to hand a letter over; none knows a job.

A receiver returns when the letter was taken, and raises NotTaken when it was not; workers/courier.py tries again.
"""
