#!/usr/bin/env python3
"""Makes keras.json, what Keras makes of losses, optimizers, schedules, metrics and callbacks, for the tests of this package.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0
    KERAS_BACKEND=tensorflow python make_keras_goldens.py
"""
import json
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
import keras
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(20260101)


def flat(a):
    """Numbers with as many digits as a float32 has."""
    return [float(f"{v:.9g}") for v in np.asarray(a, np.float32).ravel()]


def losses():
    """Loss of each row, and gradient of its sum by the predictions."""
    out = []
    logits = rng.standard_normal((4, 5)).astype(np.float32) * 2
    shares = np.abs(rng.standard_normal((4, 5))).astype(np.float32)
    shares[1] = keras.ops.softmax(logits[1])
    shares[2, 3] = 0
    bits = rng.uniform(0.05, 0.95, (4, 5)).astype(np.float32)
    labels = np.array([0, 4, 3, 2])
    truth = np.eye(5, dtype=np.float32)[labels]
    for name, make in {
        "categorical_crossentropy": lambda **k: keras.losses.CategoricalCrossentropy(**k),
        "categorical_focal_crossentropy": lambda **k: keras.losses.CategoricalFocalCrossentropy(**k),
        "binary_crossentropy": lambda **k: keras.losses.BinaryCrossentropy(**k),
        "mean_squared_error": lambda **k: keras.losses.MeanSquaredError(**k),
        "mean_absolute_error": lambda **k: keras.losses.MeanAbsoluteError(**k),
    }.items():
        entropy = name.endswith("crossentropy")
        for from_logits in (False, True) if entropy else (False,):
            for smoothing in (0.0, 0.2) if entropy else (0.0,):
                options = dict(from_logits=from_logits, label_smoothing=smoothing) if entropy else {}
                y = logits if from_logits or not entropy else bits if name.startswith("binary") else shares
                y = tf.Variable(y)
                with tf.GradientTape() as tape:
                    rows = make(reduction=None, **options)(truth, y)
                    total = tf.reduce_sum(rows)
                grad = tape.gradient(total, y)
                out.append(dict(name=name, from_logits=from_logits, smoothing=smoothing, y=flat(y), labels=labels.tolist(), loss=flat(rows), grad=flat(grad)))
    return out


def optimizers():
    """Values and state after each of six steps of two variables."""
    o = keras.optimizers
    s = o.schedules
    cases = [
        o.SGD(0.1), o.SGD(0.1, momentum=0.9), o.SGD(0.1, momentum=0.9, nesterov=True), o.SGD(0.1, weight_decay=0.1),
        o.Adam(0.01), o.Adam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-3), o.Adam(0.01, amsgrad=True), o.Adam(0.01, weight_decay=0.2),
        o.AdamW(0.01), o.AdamW(0.05, weight_decay=0.1, amsgrad=True), o.RMSprop(0.01), o.RMSprop(0.01, rho=0.7, momentum=0.8, epsilon=1e-4),
        o.RMSprop(0.01, centered=True), o.RMSprop(0.01, momentum=0.5, centered=True), o.Adam(0.01, clipnorm=0.5), o.Adam(0.01, global_clipnorm=1.5),
        o.SGD(0.1, clipvalue=0.3), o.Adam(0.01, use_ema=True, ema_momentum=0.8), o.SGD(0.1, momentum=0.5, use_ema=True, ema_overwrite_frequency=2),
        o.SGD(s.CosineDecay(0.1, 4, alpha=0.1)), o.Adam(s.CosineDecay(0.0, 3, warmup_target=0.1, warmup_steps=2)),
        o.RMSprop(s.ExponentialDecay(0.1, 2, 0.5)), o.SGD(s.PiecewiseConstantDecay([1, 3], [0.1, 0.05, 0.01])),
    ]
    start = [rng.standard_normal((3, 2)).astype(np.float32), rng.standard_normal(2).astype(np.float32)]
    gradients = [[rng.standard_normal(v.shape).astype(np.float32) for v in start] for _ in range(6)]
    out = []
    for opt in cases:
        variables = [keras.Variable(v, name=n) for v, n in zip(start, ("kernel", "bias"))]
        opt.build(variables)
        steps = []
        for g in gradients:
            opt.apply([tf.constant(x) for x in g], variables)
            steps.append(flat(np.concatenate([v.numpy().ravel() for v in variables])))
        # The iteration count comes first, then the learning rate, unless a schedule gives that.
        own = opt.variables[1:] if isinstance(opt._learning_rate, s.LearningRateSchedule) else opt.variables[2:]
        state, names = [flat(v) for v in own], [v.path.split("/")[-1] for v in own]
        opt.finalize_variable_values(variables)
        final = flat(np.concatenate([v.numpy().ravel() for v in variables]))
        out.append(dict(class_name=type(opt).__name__, config=opt.get_config() if not isinstance(opt._learning_rate, s.LearningRateSchedule)
                        else keras.saving.serialize_keras_object(opt)["config"], steps=steps, state=state, names=names, final=final))
    return dict(start=[flat(v) for v in start], gradients=[[flat(x) for x in g] for g in gradients], cases=out)


def schedules():
    s = keras.optimizers.schedules
    out = []
    for x in [s.CosineDecay(0.1, 10), s.CosineDecay(0.1, 10, alpha=0.2), s.CosineDecay(0.01, 8, alpha=0.1, warmup_target=0.2, warmup_steps=4),
              s.ExponentialDecay(0.1, 5, 0.7), s.ExponentialDecay(0.1, 5, 0.7, staircase=True), s.PiecewiseConstantDecay([3, 7], [1.0, 0.5, 0.1])]:
        out.append(dict(class_name=type(x).__name__, config=x.get_config(), rates=[float(x(i)) for i in range(20)]))
    return out




def callbacks():
    """What a plateau makes of the rate and when training stops, for given validation losses."""
    figures = [1.0, 0.9, 0.95, 0.899, 0.9, 0.91, 0.92, 0.5, 0.6, 0.7, 0.8, 0.49, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    out = []
    for plateau, stop in [
        (dict(factor=0.5, patience=2, min_delta=0.01), dict(patience=4)),
        (dict(factor=0.1, patience=1, min_delta=0.0, cooldown=2), dict(patience=3, min_delta=0.05)),
        (dict(factor=0.5, patience=1, min_lr=0.02, min_delta=0.2), dict(patience=6, start_from_epoch=5)),
    ]:
        model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        a = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", **plateau)
        b = keras.callbacks.EarlyStopping(monitor="val_loss", **stop)
        rates, stopped = [], 0
        for c in (a, b):
            c.set_model(model)
            c.on_train_begin()
        model.stop_training = False
        for epoch, v in enumerate(figures):
            a.on_epoch_end(epoch, {"val_loss": v})
            rates.append(float(model.optimizer.learning_rate))
            if not stopped:
                b.on_epoch_end(epoch, {"val_loss": v})
                if model.stop_training:
                    stopped = epoch + 1
        out.append(dict(plateau=plateau, stop=stop, figures=figures, rates=rates, stopped=stopped, best_epoch=b.best_epoch + 1))
    return out


def fit():
    """History and weights of a small network with all that changes the arithmetic, and its metrics."""
    x = rng.standard_normal((60, 6)).astype(np.float32)
    labels = rng.integers(0, 4, 60)
    x[np.arange(60), labels] += 1.5
    truth = np.eye(4, dtype=np.float32)[labels]
    kernels = [rng.standard_normal((6, 8)).astype(np.float32) * 0.5, rng.standard_normal((8, 4)).astype(np.float32) * 0.5]
    class_weight = {0: 0.5, 1: 1.0, 2: 2.0, 3: 1.5}
    sample_weight = rng.uniform(0.2, 2, 60).astype(np.float32)
    model = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(4, activation="softmax")])

    def reset(loss, optimizer):
        for layer, k in zip(model.layers, kernels):
            layer.set_weights([k, np.zeros(k.shape[1], np.float32)])
        model.compile(optimizer, loss, metrics=["accuracy"])

    out = dict(x=flat(x), labels=labels.tolist(), kernels=[flat(k) for k in kernels], sample_weight=flat(sample_weight), class_weight=[0.5, 1.0, 2.0, 1.5], runs=[])
    for name, weights in [("categorical_crossentropy", "class"), ("categorical_focal_crossentropy", "sample"), ("mean_squared_error", "none"),
                          ("categorical_crossentropy", "sample")]:
        optimizer = keras.optimizers.AdamW(0.02, weight_decay=0.01, global_clipnorm=0.5, use_ema=True, ema_momentum=0.9)
        reset(name, optimizer)
        options = dict(class_weight=class_weight) if weights == "class" else dict(sample_weight=sample_weight) if weights == "sample" else {}
        h = model.fit(x, truth, batch_size=16, epochs=3, validation_split=0.25, shuffle=False, verbose=0, **options).history
        out["runs"].append(dict(loss=name, weights=weights, history={k: [float(v) for v in vs] for k, vs in h.items()},
                                after=flat(np.concatenate([w.ravel() for w in model.get_weights()]))))
    reset("categorical_crossentropy", "sgd")
    p = model.predict(x, verbose=0)
    top = keras.metrics.TopKCategoricalAccuracy(k=2)
    top.update_state(truth, p)
    f1 = keras.metrics.F1Score()
    f1.update_state(truth, p)
    auc = []
    for c in range(4):
        a = keras.metrics.AUC(num_thresholds=20000)
        a.update_state(truth[:, c], p[:, c])
        auc.append(float(a.result()))
    out["metrics"] = dict(top2=float(top.result()), f1=flat(f1.result()), auc=auc, loss=float(model.evaluate(x, truth, verbose=0)[0]))
    return out


goldens = dict(losses=losses(), optimizers=optimizers(), schedules=schedules(), callbacks=callbacks(), fit=fit())
with open("keras.json", "w") as f:
    json.dump(goldens, f, separators=(",", ":"))
    f.write("\n")
print(os.path.getsize("keras.json"))
