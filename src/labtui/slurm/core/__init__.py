"""Jobs, nodes, partitions, reservations: what slurmctld holds."""
