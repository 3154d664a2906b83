"""Coefficients of the polynomials in elementwise.go, by Remez's exchange with weights; each is printed with the relative error that is left after the
rounding of the coefficients to float32. Needs mpmath: python minimax.py
"""
import struct

from mpmath import mp, mpf, cos, erfc, exp, expm1, log, log1p, lu_solve, matrix, pi, polyval, sqrt

mp.dps = 40


def float32(x):
    return mpf(struct.unpack("f", struct.pack("f", float(x)))[0])


def remez(f, weight, degree, low, high, rounds=12):
    """The polynomial, lowest coefficient first, that makes the largest of |weight (polynomial - f)| least on [low, high]."""
    low, high, n = mpf(low), mpf(high), degree + 2
    nodes = [(low + high) / 2 - (high - low) / 2 * cos(pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    for _ in range(rounds):
        a = matrix([[x**j for j in range(degree + 1)] + [(-1) ** i / weight(x)] for i, x in enumerate(nodes)])
        p = list(lu_solve(a, matrix([f(x) for x in nodes])))[: degree + 1]
        grid = [low + (high - low) * mpf(i) / 2000 for i in range(2001)]
        err = [weight(x) * (polyval(p[::-1], x) - f(x)) for x in grid]
        # The largest error between each two changes of sign.
        best = [0]
        for i in range(1, len(grid)):
            if (err[i] > 0) != (err[i - 1] > 0):
                best.append(i)
            elif abs(err[i]) > abs(err[best[-1]]):
                best[-1] = i
        if len(best) != n:
            break
        nodes = [grid[i] for i in best]
    return p


def show(name, f, weight, degree, low, high):
    p = [float32(c) for c in remez(f, weight, degree, low, high)]
    grid = [mpf(low) + (mpf(high) - mpf(low)) * i / 5000 for i in range(5001)]
    worst = max(abs(weight(x) * (polyval(p[::-1], x) - f(x))) for x in grid)
    print(f"{name}: relative error {float(worst):.1e}\n  " + ", ".join(f"{float(c):.9g}" for c in p))


half = log(2) / 2
tiny = mpf(10) ** -12
# exp(r) = 1 + r + r^2 q(r), the error relative to exp(r).
show("exp", lambda r: (expm1(r) - r) / r**2 if abs(r) > tiny else mpf(1) / 2, lambda r: r**2 / exp(r), 4, -half, half)
# log(1+z) = z + z^2 q(z), the error relative to log(1+z).
show("log1p", lambda z: (log1p(z) - z) / z**2 if z > tiny else -mpf(1) / 2, lambda z: z**2 / log1p(z) if z > tiny else z, 9, 0, 1)


def tail(c):
    """The normal distribution's tail at a is exp(-a^2/2) k q(k), with k = 1/(1 + c a)."""

    def place(k):
        return (1 / k - 1) / c

    def mills(k):
        a = place(k)
        return exp(a * a / 2) * erfc(a / sqrt(2)) / 2 / k

    return mills, lambda k: 1 / mills(k)


f, w = tail(mpf("0.25"))
show("tail", f, w, 9, 1 / (1 + mpf("0.25") * mpf("14.5")), 1)
