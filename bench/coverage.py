"""How often the 95 % intervals hold the truth, per measure, privacy noise included.

    python bench/coverage.py --json

Populations are drawn many times from a known law. A draw becomes the exact cells of a computation's own plan; noise
is added by the exact law that the plan declares for each block, sums are published or suppressed by the plan's own
thresholds, and the computation's own ``read`` makes the result whose intervals are judged. **No shares and no
seats take part**: that the protocol counts exactly and draws its noise by that law is tested elsewhere
(the conformance suite, ``tests/engine/test_engine_noise.py``, ``tests/gate``).

Intervals of counts claim noise only, so the truth is the drawn count; intervals of rates and effects claim
sampling too, so the truth is the parameter of the law. Suppressed figures have no interval and are left out. The
crowds here are well above k: just above it the figures that pass are those that drew high, as the guides say.
"""

if __name__ == "coverage":
    # numba looks for the package coverage, and must not take this program for it.
    raise ImportError("a program, not the package coverage")

if __name__ == "__main__":
    from coverage_judging import main

    main()
