"""What is asked of torch.nn's losses by ``xentropy explain``."""

from __future__ import annotations

from xentropy.conventions import answers
from xentropy.conventions.answers import ROWS, SUM, sigmoid, softmax, softmax_gradient
from xentropy.conventions.edges import LogitLosses, edges
from xentropy.conventions.probe import NO_SUCH_OPTION, Framework, Probe
from xentropy_torch.parity import adapter

OWN = """\
from torch import nn
from torch.nn import functional as F
"""
DROP_IN = """\
import xentropy_torch as nn
import xentropy_torch as F
"""
ARRAYS = """\
from xentropy.conventions.probe import names
import torch, xentropy
from torch import inf, nan, tensor
x = tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
y = tensor([0, 2])
t = tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
w, s = tensor([1.0, 2.0, 3.0]), tensor([1.0, 3.0])
z, q, v = tensor([2.0, -1.0]), tensor([0.8, 0.3]), tensor([1.0, 0.0])
"""
LOSSES = LogitLosses(
    array="tensor({})",
    labels="F.cross_entropy(x, y)",
    soft="F.cross_entropy(x, t)",
    binary='F.binary_cross_entropy_with_logits(z, v, reduction="none")',
    rest="",
)
CUBE = "c = torch.arange(27.0).sin().reshape(3, 3, 3)\nk = tensor([[0, 1, 2], [2, 0, 1], [1, 1, 0]])"
TWO = "a, b = tensor([[0.2, 0.3, 0.5]]), tensor([[0.7, 0.2, 0.1]])"
BAD = "y = tensor([0, {}])"
OUT = {"IndexError": softmax("x, y"), "NaN": softmax("x, y, validate=False")}

CALLS = (
    Probe("first arguments", "F.cross_entropy(a, b)", answers.order(), given=TWO),
    Probe("first arguments", "names(F.cross_entropy)", case="by name"),
    Probe("takes", "F.cross_entropy(p, y)", answers.takes(), given="p = x.softmax(1)"),
    Probe("takes", "nn.BCELoss()(q, v)", answers.takes_binary(), case="nn.BCELoss"),
    Probe("takes", "nn.BCEWithLogitsLoss()(q, v)", answers.takes_binary(), case="nn.BCEWithLogitsLoss"),
    Probe("axis of the classes", "F.cross_entropy(c, k)", answers.axis(), given=CUBE),
    Probe("default reduction", "F.cross_entropy(x, y)", answers.reduction(), case="function"),
    Probe("default reduction", "nn.CrossEntropyLoss()(x, y)", answers.reduction(), case="class"),
)
EDGES = (
    Probe(
        "probabilities are clipped",
        'F.binary_cross_entropy(q, v, reduction="none")',
        {
            "no": sigmoid(f"q, v, from_logits=False{ROWS}"),
            "log p and log(1 - p) to -100": f"{sigmoid(f'q, v, from_logits=False{ROWS}')}.clamp(max=100.0)",
        },
        given="q, v = tensor([0.0, 1.0]), tensor([1.0, 0.0])",
    ),
    Probe(
        "rows of probabilities are divided by their sum",
        "F.nll_loss(p.log(), y)",
        {
            "no": softmax("p, y, from_logits=False"),
            "yes": softmax("p / p.sum(1, keepdim=True), y, from_logits=False"),
        },
        given="p, y = tensor([[0.25, 0.25]]), tensor([0])",
    ),
    Probe("a label out of range", "F.cross_entropy(x, y)", OUT, "3 of 3 classes", BAD.format(3)),
    Probe("a label out of range", "F.cross_entropy(x, y)", OUT, "-1", BAD.format(-1)),
    Probe(
        "dtype of the loss of half-precision logits",
        "F.cross_entropy(h, y)",
        answers.half("{}.half()"),
        "float16",
        "h = x.half()",
    ),
    Probe(
        "dtype of the loss of half-precision logits",
        "F.cross_entropy(h, y)",
        answers.half("{}.bfloat16()"),
        "bfloat16",
        "h = x.bfloat16()",
    ),
)
OPTIONS = (
    *(
        Probe(
            "denominator of a weighted mean",
            call,
            {
                "the sum of the labels' class weights": softmax(f"{given}, class_weight=w"),
                "the number of rows": softmax(f"{given}, class_weight=w, normalizer=len(x)"),
            },
            f"class weights, {case}",
        )
        for case, given, call in (
            ("labels", "x, y", "F.cross_entropy(x, y, w)"),
            ("probabilities", "x, t", "F.cross_entropy(x, t, w)"),
        )
    ),
    Probe(
        "denominator of a weighted mean",
        "F.binary_cross_entropy(q, v, weight=s)",
        {
            "the sum of the weights": sigmoid("q, v, sample_weight=s, from_logits=False"),
            "the number of elements": sigmoid("q, v, sample_weight=s, normalizer=q.numel(), from_logits=False"),
        },
        "weights of elements",
    ),
    Probe(
        "pos_weight",
        "F.binary_cross_entropy_with_logits(z, v, pos_weight=tensor(3.0))",
        {
            "the positive term alone": sigmoid("z, v, pos_weight=3.0"),
            "the denominator too": sigmoid("z, v, pos_weight=3.0, normalizer=(1.0 + 2.0 * v).sum()"),
        },
    ),
    Probe("label smoothing", 'F.cross_entropy(x, y, label_smoothing=0.1, reduction="none")', answers.smoothing()),
    *(
        Probe(
            "label smoothing",
            f"F.cross_entropy({given}, w, label_smoothing=0.1)",
            {
                "each class keeps its weight; divided by those of the labels": softmax(f"{given}{smooth}"),
                "each class keeps its weight; divided by the number of rows": softmax(
                    f"{given}{smooth}, normalizer=len(x)"
                ),
            },
            case,
        )
        for case, given, smooth in (
            ("with class weights, labels", "x, y", ", class_weight=w, label_smoothing=0.1"),
            ("with class weights, probabilities", "x, t", ", class_weight=w, label_smoothing=0.1"),
        )
    ),
    Probe(
        "label smoothing",
        "F.binary_cross_entropy_with_logits(z, v, label_smoothing=0.1)",
        {"there is no such option": NO_SUCH_OPTION, "y (1 - ε) + ε/2": sigmoid("z, v, label_smoothing=0.1")},
        "binary",
    ),
)
REMOVED = (
    Probe(
        "ignored rows",
        "F.cross_entropy(x, y)",
        {
            "those of label -100; not in the denominator": softmax("x, y, ignore_index=-100"),
            "those of label -100; in the denominator": softmax("x, y, ignore_index=-100, normalizer=len(x)"),
        },
        "the mean",
        "y = tensor([0, -100])",
    ),
    Probe(
        "ignored rows",
        'F.cross_entropy(x, y, ignore_index=2, reduction="none")',
        {"0, of any label that is named": softmax(f"x, y, ignore_index=2{ROWS}")},
        "each loss",
    ),
    Probe(
        "NaN logits in an ignored row",
        "F.cross_entropy(x, y)",
        {"they don't reach it": softmax("x, y, ignore_index=-100")},
        "the loss",
        "x, y = tensor([[nan, 0.0], [0.0, 0.0]]), tensor([-100, 0])",
    ),
    Probe(
        "NaN logits in an ignored row",
        "xentropy.value_and_grad(F.cross_entropy)(x, y)[1]",
        {"they don't reach it": softmax_gradient("x, y, ignore_index=-100")},
        "its gradient",
        "x, y = tensor([[nan, 0.0], [0.0, 0.0]]), tensor([-100, 0])",
    ),
    Probe(
        "nothing to average",
        "F.cross_entropy(x, y)",
        {
            "0": softmax("x, y, ignore_index=-100"),
            "NaN, 0 divided by 0 rows": f"{softmax(f'x, y, ignore_index=-100{SUM}')} / (y != -100).sum()",
        },
        "all rows ignored",
        "y = tensor([-100, -100])",
    ),
    Probe(
        "nothing to average",
        "xentropy.value_and_grad(F.cross_entropy)(x, y)[1]",
        {"0": softmax_gradient("x, y, ignore_index=-100")},
        "all rows ignored, its gradient",
        "y = tensor([-100, -100])",
    ),
    Probe(
        "nothing to average",
        "F.cross_entropy(x, y)",
        {"0": softmax("x, y"), "NaN, 0 divided by 0 rows": f"{softmax(f'x, y{SUM}')} / len(x)"},
        "an empty batch",
        "x, y = x[:0], y[:0]",
    ),
)

framework = Framework(
    losses="torch.nn and torch.nn.functional",
    own=OWN,
    drop_in=DROP_IN,
    arrays=ARRAYS,
    probes=(*CALLS, *EDGES, *OPTIONS, *REMOVED, *edges(LOSSES)),
    adapter=adapter,
    modules=("torch",),
)
