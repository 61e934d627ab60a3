"""Random transformers models of a few thousand weights, saved as the hub would hold them."""

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = "the a patient child has no loud soft systolic diastolic murmur wheeze crackle at in chest"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def _tokenizer(folder, special, side):
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    fast = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", padding_side=side
    )
    fast.save_pretrained(folder)
    return len(vocabulary)


def bert(folder, positions=32):
    """A bidirectional text encoder with closing special tokens."""
    torch.manual_seed(0)
    config = hf.BertConfig(
        vocab_size=_tokenizer(folder, special=True, side="right"), hidden_size=16,
        num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=positions,
    )  # fmt: skip
    hf.BertModel(config).save_pretrained(folder)
    return str(folder)


def gemma3(folder):
    """A multimodal Gemma 3, as MedGemma is stored; its tokenizer pads on the left."""
    torch.manual_seed(0)
    text = {
        "vocab_size": _tokenizer(folder, special=False, side="left"), "hidden_size": 16,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "intermediate_size": 32, "max_position_embeddings": 64, "sliding_window": 8,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    config = hf.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    hf.Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


def ast(folder):
    """An audio spectrogram transformer for 1.29 s; saved with its classifier, as MIT's is."""
    torch.manual_seed(0)
    config = hf.ASTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_length=128, num_mel_bins=128, hidden_dropout_prob=0.1,
    )  # fmt: skip
    hf.ASTForAudioClassification(config).save_pretrained(folder)
    hf.ASTFeatureExtractor(max_length=128).save_pretrained(folder)
    return str(folder)


def clap(folder, fusion=False):
    """Both towers of CLAP, as LAION's are stored; 2 s at 48 kHz."""
    torch.manual_seed(0)
    audio = {
        "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [1, 2],
        "hidden_size": 16, "spec_size": 128, "window_size": 8, "enable_fusion": fusion,
        "num_hidden_layers": 2,
    }  # fmt: skip
    text = {
        "vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16,
    }  # fmt: skip
    config = hf.ClapConfig(audio_config=audio, text_config=text, projection_dim=8)
    hf.ClapModel(config).save_pretrained(folder)
    truncation = "fusion" if fusion else "rand_trunc"
    hf.ClapFeatureExtractor(truncation=truncation, max_length_s=2).save_pretrained(folder)
    return str(folder)


def wav2vec2(folder):
    """A wav2vec2 with a strided convolution front and SpecAugment in its configuration."""
    torch.manual_seed(0)
    config = hf.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=(8, 8), conv_kernel=(20, 8), conv_stride=(16, 4), num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, mask_time_prob=0.5, vocab_size=9,
    )  # fmt: skip
    hf.Wav2Vec2ForCTC(config).save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


def whisper(folder):
    """A Whisper of 3 s."""
    torch.manual_seed(0)
    config = hf.WhisperConfig(
        d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16, vocab_size=20,
        max_source_positions=150, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    hf.WhisperForConditionalGeneration(config).save_pretrained(folder)
    hf.WhisperFeatureExtractor(chunk_length=3).save_pretrained(folder)
    return str(folder)


def wav2vec2_bert(folder):
    """A model whose extractor has no batched form in torch."""
    torch.manual_seed(0)
    config = hf.Wav2Vec2BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        feature_projection_input_dim=160, vocab_size=9,
    )  # fmt: skip
    hf.Wav2Vec2BertModel(config).save_pretrained(folder)
    hf.SeamlessM4TFeatureExtractor().save_pretrained(folder)
    return str(folder)
