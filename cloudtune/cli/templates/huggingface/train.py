"""A small transformer, trained by Hugging Face's Trainer on made-up text: the callback reports each evaluation.

It is made from a config, so that nothing is downloaded. To fine-tune a model of the Hub, replace `model_of` by
AutoModelForSequenceClassification.from_pretrained("distilbert-base-uncased"), and `data` by your own.
"""

import argparse

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import cloudtune.trial as trial
from cloudtune.trial.callbacks.huggingface import TuneCallback, last_checkpoint

WORDS, LENGTH = 64, 12


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning_rate", type=float, default=5e-4)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--warmup_steps", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    return parser.parse_args()


class Texts(torch.utils.data.Dataset):
    """Made-up texts: the label says whether most of the words are from the first half of the vocabulary."""

    def __init__(self, count, seed):
        random = torch.Generator().manual_seed(seed)
        self.words = torch.randint(WORDS, (count, LENGTH), generator=random)
        self.labels = ((self.words < WORDS // 2).sum(1) > LENGTH // 2).long()

    def __len__(self):
        return len(self.words)

    def __getitem__(self, index):
        return {"input_ids": self.words[index], "labels": self.labels[index]}


def data():
    return Texts(512, 0), Texts(128, 1)


def model_of():
    config = BertConfig(
        vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=2
    )
    return BertForSequenceClassification(config)


def accuracy(evaluated):
    return {"accuracy": float((evaluated.predictions.argmax(-1) == evaluated.label_ids).mean())}


def main():
    given = options()
    set_seed(0)
    train, held_out = data()
    arguments = TrainingArguments(
        output_dir=trial.checkpoint_dir(),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        num_train_epochs=given.epochs,
        learning_rate=given.learning_rate,
        weight_decay=given.weight_decay,
        warmup_steps=given.warmup_steps,
        per_device_train_batch_size=given.batch_size,
        report_to="none",
        disable_tqdm=True,
    )
    callback = TuneCallback({"loss": "eval_loss", "accuracy": "eval_accuracy"})
    trainer = Trainer(
        model_of(),
        arguments,
        train_dataset=train,
        eval_dataset=held_out,
        compute_metrics=accuracy,
        callbacks=[callback],
    )
    trainer.train(resume_from_checkpoint=last_checkpoint())
    trainer.save_model(trial.output_dir())


if __name__ == "__main__":
    main()
