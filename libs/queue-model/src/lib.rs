//! What may happen to a queued message: legal states, retry schedule, outcomes.
