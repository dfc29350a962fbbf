"""A Ray cluster of several nodes on this machine."""

import pytest


@pytest.fixture(scope="session")
def cluster():
    """Start a head and two nodes of one core each; tests add nodes and kill them."""
    pytest.importorskip("ray", reason='needs Ray: pip install "euds[ray]"')
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "include_dashboard": False,
                # Seconds instead of a quarter of a minute, and enough for a busy machine.
                "_system_config": {
                    "health_check_initial_delay_ms": 0,
                    "health_check_period_ms": 1000,
                    "health_check_failure_threshold": 10,
                },
            },
        )
        for _ in range(2):
            found.add_node(num_cpus=1)
        yield found
        found.shutdown()
