"""Which generator writes a simulated session, and the hash of what it will write."""

from pathlib import Path

from harness.data.sources import Simulated


def spec_sha256(source: Simulated) -> str:
    """Hash of the generator's code and parameters: what the arrays of the session depend on."""
    if source.generator == "motor-imagery":
        from harness.data import simulate_eeg

        return simulate_eeg.spec_sha256(source.parameters)
    from harness.data import simulate

    return simulate.spec_sha256(source.parameters)


def write_session(path: Path, source: Simulated, *, session_id: str, subject: str) -> None:
    """Simulate a session and write it as NWB; the file appears under its name only when it is complete.

    Raises:
        UsageError: If a parameter is unknown or out of range.
    """
    if source.generator == "motor-imagery":
        from harness.data import simulate_eeg

        simulate_eeg.write_recording(path, source.parameters, session_id=session_id, subject=subject)
        return
    from harness.data import simulate

    simulate.write_session(path, source.parameters, session_id=session_id, subject=subject)
