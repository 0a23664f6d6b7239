"""JSON that a gateway might say: anything at all, and things that look like its own."""

from hypothesis import strategies as st

texts = st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    [
        "attrs",
        "code",
        "count",
        "data",
        "disconnectionObject",
        "error",
        "hash",
        "id",
        "instance",
        "key",
        "message",
        "name",
        "qrcode",
        "response",
        "state",
        "status",
        "statusReason",
        "tag",
        "type",
        "wuid",
    ]
)
likely = st.recursive(
    json_values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5)
)
