"""The leaderboard: a Streamlit page that reads result records and never loads or runs a decoder."""
