"""The fold below the tables: every number of latency and cost that records hold, for all decoders."""

import pandas as pd
import streamlit as st

LATENCY = (
    "n_seeds",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
    "jitter_ms",
    "p99_low_ms",
    "p99_high_ms",
    "passes",
)
LATENCY += ("paced_p99_ms", "delay_ms", "noisy_why")
COST = ("operations", "operations_why", "macs_per_s", "acs_per_s", "elementwise_per_s", "dense_per_s")
COST += ("activation_sparsity", "connection_sparsity", "artifact_bytes", "footprint_bytes", "packed_bytes")
COST += ("state_bytes", "memory_floor_ms", "energy_nj_per_bin", "energy_model", "pretrain_s", "fit_s", "adapt_s")


def show_details(table: pd.DataFrame) -> None:
    """Latency and cost in full, folded away until somebody asks."""
    rows = table[table["kind"].isin(["ranked", "unranked"])]
    with st.expander("Latency and cost in detail"):
        for names, config, title in ((LATENCY, _latency(), "Latency"), (COST, _cost(), "Operations, memory, training")):
            st.markdown(f"**{title}**")
            st.dataframe(
                rows[["decoder", *filled(rows, names)]],
                hide_index=True,
                column_config={"decoder": st.column_config.TextColumn("Decoder", width=165, pinned=True)} | config,
                placeholder="-",
                alt=f"{title} of every decoder",
            )


def filled(rows: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Those columns of which at least one row has something: old records lack the newer ones."""
    return [name for name in names if not (rows[name].isna() | rows[name].eq("")).all()]


def _latency() -> dict[str, object]:
    ms = {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99", "p999_ms": "p99.9", "max_ms": "Longest"}
    num = st.column_config.NumberColumn
    return {
        "n_seeds": num("Seeds", format="%d"),
        **{name: num(f"{label} ms", format="%.3f") for name, label in ms.items()},
        "jitter_ms": num("Jitter ms", format="%.3f", help="Mean difference of neighbouring round trips."),
        "p99_low_ms": num("Lowest p99 ms", format="%.3f", help="Of all passes and recordings."),
        "p99_high_ms": num("Highest p99 ms", format="%.3f", help="Of all passes and recordings."),
        "passes": num("Passes", format="%d", help="A disturbed pass is repeated; the one in the middle counts."),
        "paced_p99_ms": num("Paced p99 ms", format="%.3f", help="Bins sent at their real times."),
        "delay_ms": num("Delay ms", format="%.1f", help="From neural activity to the answer, the bin included."),
        "noisy_why": st.column_config.TextColumn("What disturbed it", width="large"),
    }


def _cost() -> dict[str, object]:
    text, num = st.column_config.TextColumn, st.column_config.NumberColumn
    rates = {"macs_per_s": "MACs/s", "acs_per_s": "ACs/s", "elementwise_per_s": "Elementwise/s"}
    sparsity = {"activation_sparsity": "Zero activations", "connection_sparsity": "Zero connections"}
    size = {"artifact_bytes": "Artefact", "footprint_bytes": "Footprint", "packed_bytes": "Packed"}
    size |= {"state_bytes": "State"}
    return {
        "operations": text("Operations", help="counted by the judge, declared by the decoder, or unknown"),
        "operations_why": text("Why", width="medium"),
        **{name: num(label, format="compact", help="Effective: without zeros.") for name, label in rates.items()},
        "dense_per_s": num("Dense/s", format="compact", help="Products in contractions, zeros included."),
        **{name: num(label, format="percent") for name, label in sparsity.items()},
        **{name: num(f"{label} bytes", format="localized") for name, label in size.items()},
        "memory_floor_ms": num("Memory floor ms", format="%.3f", help="Time to read all that was learned once."),
        "energy_nj_per_bin": num(
            "Modelled nJ/bin", format="%.1f", help="Arithmetic alone, from a table; not measured."
        ),
        "energy_model": text("Energy table"),
        "pretrain_s": num("Pretraining s", format="%.1f", help="On other sessions, once per seed."),
        "fit_s": num("Fit s", format="%.1f", help="Time of one fit run over all sessions."),
        "adapt_s": num("Adapting s", format="%.1f", help="To new sessions, from a few labelled minutes of each."),
    }
