"""What /metrics says, as numbers; and what it must say after the walk-through, wherever that ran."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def numbers(text: str) -> dict[str, float]:
    """Every number by its series, as Prometheus reads them: labels in the order of their names."""
    return {
        sample.name + _labels(sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of_the_walkthrough(found: dict[str, float], namespace: str) -> None:
    """The walk-through's run asked twice and called one tool."""
    place, provider = f'namespace="{namespace}"', 'provider="openai"'
    assert found[f"kubechain_turns_total{{{place},{provider}}}"] == 2
    assert found[f'kubechain_model_calls_total{{{place},outcome="ok",{provider}}}'] == 2
    assert found[f"kubechain_model_call_seconds_count{{{provider}}}"] == 2
    assert found[f'kubechain_model_tokens_total{{direction="input",{place},{provider}}}'] > 0
    assert found[f'kubechain_taskruns{{{place},phase="FinalAnswer"}}'] == 1
    assert found[f'kubechain_toolcalls{{{place},phase="Succeeded"}}'] == 1
    assert found['kubechain_cached_objects{kind="TaskRun"}'] == 1
    assert found['kubechain_cache_synced{kind="TaskRun"}'] == 1
    assert found['kubechain_reconciles_total{kind="TaskRun"}'] >= 2
    assert found["process_resident_memory_bytes"] > 1 << 20


def _labels(labels: dict[str, str]) -> str:
    shown = ",".join(f'{name}="{labels[name]}"' for name in sorted(labels))
    return f"{{{shown}}}" if shown else ""
