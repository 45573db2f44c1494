"""Small labelled data for the kit: 36 sentences on three topics, and pairs of them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Split, TaskData, TaskInfo

SENTENCES: dict[str, tuple[str, ...]] = {
    "sport": (
        "The striker scored twice in the second half and the home side won the match.",
        "Rain stopped the tennis final for an hour before the champion served it out.",
        "Her coach changed the training plan six weeks before the marathon.",
        "The goalkeeper saved a late penalty and the cup stayed with the visitors.",
        "After four sets on clay the young player could hardly walk to the net.",
        "The club sold its captain to a rival on the last day of the transfer window.",
        "A broken wrist keeps the fast bowler out of the whole winter tour.",
        "The relay team dropped the baton and still reached the final.",
        "Two cyclists escaped on the last climb and shared the stage between them.",
        "The referee watched the replay for a long time and gave the try.",
        "Nobody expected the smallest school in the league to win the hockey title.",
        "The swimmer broke the national record by three hundredths of a second.",
    ),
    "money": (
        "The bank raised its interest rate for the third time this year.",
        "Shares of the car maker fell by a tenth after the profit warning.",
        "Exports grew faster than imports and the trade gap narrowed a little.",
        "The airline asked its creditors for two more years to repay the loan.",
        "Higher oil prices ate up most of the savings in the shipping business.",
        "Shareholders voted against the bonus of the departing director.",
        "The retailer will close forty shops and move its sales to the web.",
        "Unemployment dropped below five per cent, but wages hardly moved.",
        "A merger of the two insurers would need the consent of the regulator.",
        "The finance minister promised lower taxes on small firms.",
        "Investors bought government bonds and the yield sank to a new low.",
        "The currency lost value when the budget figures were published.",
    ),
    "science": (
        "The probe sent its first pictures of the icy moon back to the laboratory.",
        "Researchers found a gene that lets the plant grow in salty soil.",
        "A new battery keeps most of its charge at forty degrees below zero.",
        "The telescope measured the light of a star that exploded long ago.",
        "Bees that were fed with the sugar solution found their hive more slowly.",
        "The vaccine protected nine of ten mice in the first experiment.",
        "Chemists made the catalyst from iron, which is cheaper than platinum.",
        "Fossil teeth show that the animal ate grass rather than leaves.",
        "The program proved the theorem after eleven days of computing.",
        "Warm water under the glacier melts it faster than the models had said.",
        "Physicists cooled the atoms until they behaved like a single wave.",
        "The survey counted more species of beetle than anyone had described.",
    ),
}
SIZES = (("train", 0, 6), ("validation", 6, 8), ("test", 8, 12))  # split, first and last sentence of each topic


def topic_task() -> TaskData:
    """Sentence -> topic: 3 classes with 6 train, 2 validation and 4 test rows each."""
    splits = {}
    for name, start, stop in SIZES:
        rows = [(SENTENCES[topic][i], label) for i in range(start, stop) for label, topic in enumerate(SENTENCES)]
        splits[name] = _split({"sentence": [text for text, _ in rows]}, [label for _, label in rows])
    return TaskData(TaskInfo("kit-topics", ("sentence",), tuple(SENTENCES)), **splits)


def pair_task() -> TaskData:
    """Two sentences -> other or same topic: 2 classes with 9 train, 3 validation and 6 test rows each."""
    topics = tuple(SENTENCES)
    splits = {}
    for name, start, stop in SIZES:
        first, second, labels = [], [], []
        for i in range(start, stop, 2):
            for t, topic in enumerate(topics):
                for label, other in ((1, topic), (0, topics[(t + 1) % len(topics)])):
                    first.append(SENTENCES[topic][i])
                    second.append(SENTENCES[other][i + 1])
                    labels.append(label)
        splits[name] = _split({"first": first, "second": second}, labels)
    return TaskData(TaskInfo("kit-pairs", ("first", "second"), ("other", "same")), **splits)


def _split(texts: dict[str, list[str]], labels: Sequence[int]) -> Split:
    import numpy as np

    return Split(texts, np.array(labels, dtype=np.int64))
