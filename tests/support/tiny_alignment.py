"""A recipe that trains in a second on the corpora of `tiny_corpora`."""

TABLE = {
    "name": "tiny",
    "encoder": {"name": "conv", "options": {"width": 16, "seconds": 1.024, "blocks": 1}},
    "corpora": [
        {"name": "circor", "batch": 8},
        {"name": "sprsound", "batch": 8},
        {"name": "physionet2016", "batch": 4},
    ],
    "teacher": {"model": "minilm"},
    "pretrain": {"steps": 2, "learning_rate": 1e-3, "log_every": 1},
    "align": {"steps": 4, "learning_rate": 1e-3, "log_every": 1, "save_every": 2},
    "objective": {"hidden": 32, "width": 32},
    "tasks": ["circor-murmur", "sprsound-wheeze", "physionet2016-abnormal"],
    "seeds": [0, 1],
    "holdouts": ["a", "b"],
}
