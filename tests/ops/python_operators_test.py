"""torch.ops.guerdon from Python, beside PyTorch's own forms. Argument: libguerdon_ops.so. Needs the Python package torch.

    python tests/ops/python_operators_test.py build/dev/lib/libguerdon_ops.so
"""
import sys

import torch
import torch.nn.functional as F

torch.ops.load_library(sys.argv[1])
ops = torch.ops.guerdon
torch.manual_seed(0)


def close(found, expected, tolerance=2e-5):
    error = (found.double() - expected.double()).abs().max().item()
    assert error <= tolerance, f"differs by {error}"


def gradients(loss, inputs):
    return torch.autograd.grad(loss, inputs, retain_graph=True)


def test_token_stats():
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(40, 5001, dtype=dtype, requires_grad=True)
        y = torch.randint(0, 5001, (40,))
        y[3] = -100
        live = (y != -100).to(dtype)
        logprob, entropy, lse = ops.token_stats(x, y, softcap=10.0, temperature=0.7)
        z = torch.tanh(x / 10) * 10 / 0.7
        log_p = z.log_softmax(-1)
        close(logprob, log_p.gather(1, y.clamp_min(0).unsqueeze(1)).squeeze(1) * live)
        close(entropy, -(log_p.exp() * log_p).sum(-1) * live)
        close(lse, z.logsumexp(-1) * live)
        (found,) = gradients(logprob.sum() + 0.3 * entropy.sum(), [x])
        expected = gradients((log_p.gather(1, y.clamp_min(0).unsqueeze(1)).squeeze(1) * live).sum()
                             - 0.3 * ((log_p.exp() * log_p).sum(-1) * live).sum(), [x])
        close(found, expected[0])


def test_linear_forms():
    hidden = torch.randn(30, 16, requires_grad=True)
    weight = torch.randn(4099, 16, requires_grad=True)
    y = torch.randint(0, 4099, (30,))
    y[5] = -100
    for workspace in (1, 1 << 26):
        loss = ops.linear_cross_entropy(hidden, weight, y, label_smoothing=0.1, workspace_bytes=workspace)
        expected = F.cross_entropy(hidden @ weight.t(), y, label_smoothing=0.1)
        close(loss, expected)
        for found, wanted in zip(gradients(loss, [hidden, weight]), gradients(expected, [hidden, weight])):
            close(found, wanted)
        logprob, _, _ = ops.linear_token_stats(hidden, weight, y, workspace_bytes=workspace)
        close(-logprob.sum() / 29, F.cross_entropy(hidden @ weight.t(), y))


def test_divergences():
    student = torch.randn(12, 3001, requires_grad=True)
    teacher = torch.randn(12, 3001)
    p, q = student.log_softmax(-1), teacher.log_softmax(-1)
    expected = {"reverse_kl": (p.exp() * (p - q)).sum(-1), "forward_kl": (q.exp() * (q - p)).sum(-1),
                "total_variation": (p.exp() - q.exp()).abs().sum(-1)}
    for kind, value in expected.items():
        found = ops.divergence(student, teacher, kind)
        close(found, value)
        close(gradients(found.sum(), [student])[0], gradients(value.sum(), [student])[0])
    try:
        ops.divergence(student, teacher, "kl")
    except RuntimeError as error:
        assert "reverse_kl" in str(error)
    else:
        raise AssertionError("an unknown kind was taken")


def test_packed_attention():
    # A prompt of 7 that two responses share, and a sequence by itself.
    segments = torch.tensor([[0, 7, -1], [7, 12, 0], [12, 15, 0], [15, 21, -1]])
    q = torch.randn(21, 4, 8, requires_grad=True)
    k = torch.randn(21, 2, 8, requires_grad=True)
    v = torch.randn(21, 2, 8, requires_grad=True)
    out = ops.packed_attention(q, k, v, segments)
    allowed = torch.zeros(21, 21, dtype=torch.bool)
    for begin, end, parent in segments.tolist():
        for t in range(begin, end):
            allowed[t, begin:t + 1] = True
            if parent >= 0:
                allowed[t, segments[parent, 0]:segments[parent, 1]] = True
    heads = lambda x, n: x.transpose(0, 1).repeat_interleave(n, 0)
    expected = F.scaled_dot_product_attention(heads(q, 1), heads(k, 2), heads(v, 2), attn_mask=allowed).transpose(0, 1)
    close(out, expected)
    g = torch.randn_like(out)
    for found, wanted in zip(gradients((out * g).sum(), [q, k, v]), gradients((expected * g).sum(), [q, k, v])):
        close(found, wanted)


def test_sampling():
    logits = torch.randn(6, 50)
    token, logprob = ops.sample_tokens(logits, torch.rand(6, dtype=torch.float64), top_k=1)
    assert torch.equal(token, logits.argmax(-1))
    close(logprob, logits.log_softmax(-1).max(-1).values)


def test_token_losses():
    reference = torch.randn(40)
    logprobs = (reference + torch.randn(40)).requires_grad_()
    x = logprobs - reference
    for kind, expected in {"k1": x, "k2": x * x / 2, "k3": torch.exp(-x) - 1 + x, "abs": x.abs()}.items():
        found = ops.kl_estimate(logprobs, reference, kind)
        close(found, expected)
        close(gradients(found.sum(), [logprobs])[0], gradients(expected.sum(), [logprobs])[0])

    old = (logprobs + 0.3 * torch.randn(40)).detach()
    row = torch.arange(40) // 8
    advantage = torch.randn(5)[row]
    ratio = torch.exp(logprobs - old)
    term = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    expected = (term + 0.1 * (torch.exp(-x) - 1 + x)).reshape(5, 8).mean(-1).mean()
    found = ops.policy_loss(logprobs, old, advantage, row, 5, reference=reference, beta=0.1, kl_times_ratio=False,
                            row_means=True, divisor=5.0)
    close(found, expected)
    close(gradients(found, [logprobs])[0], gradients(expected, [logprobs])[0])

    advantage, returns = ops.gae(torch.tensor([0.0, 0, 0, 1]), torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0, 4]),
                                 gamma=0.99, lam=0.95)
    close(advantage, torch.tensor([0.773290, 0.718012, 0.660300, 0.600000]))
    close(returns, advantage + torch.tensor([0.1, 0.2, 0.3, 0.4]))


def test_traced():
    meta = torch.empty(5, 70, device="meta")
    assert ops.token_stats(meta, torch.empty(5, dtype=torch.long, device="meta"))[0].shape == (5,)
    assert ops.divergence(meta, meta, "jsd").shape == (5,)

    x, y = torch.randn(9, 33), torch.randint(0, 33, (9,))
    loss = lambda x: ops.token_stats(x, y)[0].sum()
    eager, compiled = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = torch.compile(loss, backend="aot_eager")(compiled)
    close(found, loss(eager))
    close(gradients(found, [compiled])[0], gradients(loss(eager), [eager])[0])


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(name, "passed")
