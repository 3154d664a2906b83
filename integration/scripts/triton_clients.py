# Runs tritonclient, unchanged, against a server: triton_clients.py HTTP GRPC MODEL X.npy Y.npy
# Every way of sending the rows of X must give Y within 1e-6. Prints the largest difference.
import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

http_address, grpc_address, model, x_path, y_path = sys.argv[1:]
x, want = np.load(x_path), np.load(y_path)
worst = 0.0


def check(how, got):
    global worst
    assert got.shape == want.shape and got.dtype == want.dtype, (how, got.shape, got.dtype)
    difference = float(np.abs(got - want).max())
    assert difference <= 1e-6, (how, difference)
    worst = max(worst, difference)


def refused(how, call):
    try:
        call()
    except InferenceServerException as e:
        assert e.message(), how
    else:
        raise AssertionError(f"{how}: found no error")


h = http.InferenceServerClient(http_address)
assert h.is_server_live() and h.is_server_ready() and h.is_model_ready(model)
about = h.get_model_metadata(model)
name_in, name_out = about["inputs"][0]["name"], about["outputs"][0]["name"]
assert h.get_model_config(model)["max_batch_size"] >= 1
assert "binary_tensor_data" in h.get_server_metadata()["extensions"]
for binary_in in (True, False):
    for binary_out in (True, False):
        i = http.InferInput(name_in, x.shape, "FP32")
        i.set_data_from_numpy(x, binary_data=binary_in)
        o = http.InferRequestedOutput(name_out, binary_data=binary_out)
        answer = h.infer(model, [i], outputs=[o], request_id="7", priority=1, timeout=10_000_000)
        check(f"HTTP, binary {binary_in}, {binary_out}", answer.as_numpy(name_out))
for algorithm in ("gzip", "deflate"):
    answer = h.infer(
        model, [i], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
    )
    check(algorithm, answer.as_numpy(name_out))
top = h.infer(model, [i], outputs=[http.InferRequestedOutput(name_out, class_count=2)]).as_numpy(name_out)
assert top.shape == (len(x), 2), top
for row, texts in zip(want, top):
    assert int(texts[0].split(b":")[1]) == row.argmax(), (texts, row)
refused("unknown model", lambda: h.infer("other", [i]))
refused("unknown output", lambda: h.infer(model, [i], outputs=[http.InferRequestedOutput("other")]))
assert h.get_inference_statistics(model)["model_stats"][0]["inference_count"] > 0

g = grpc.InferenceServerClient(grpc_address)
assert g.is_server_live() and g.is_server_ready() and g.is_model_ready(model)
assert g.get_model_metadata(model).inputs[0].name == name_in
assert g.get_model_config(model).config.max_batch_size >= 1
assert len(g.get_server_metadata().extensions) > 0
i = grpc.InferInput(name_in, x.shape, "FP32")
i.set_data_from_numpy(x)
check("gRPC", g.infer(model, [i], priority=1, client_timeout=30).as_numpy(name_out))
check("gRPC, compressed", g.infer(model, [i], compression_algorithm="gzip").as_numpy(name_out))
top = g.infer(model, [i], outputs=[grpc.InferRequestedOutput(name_out, class_count=2)]).as_numpy(name_out)
for row, texts in zip(want, top):
    assert int(texts[0].split(b":")[1]) == row.argmax(), (texts, row)
refused("unknown model", lambda: g.infer("other", [i]))
assert g.get_inference_statistics(model).model_stats[0].inference_count > 0

answers = queue.Queue()
g.start_stream(lambda result, error: answers.put((result, error)))
for n in range(20):
    g.async_stream_infer(model, [i], request_id=str(n))
for n in range(20):
    result, error = answers.get(timeout=30)
    assert error is None, error
    assert result.get_response().id == str(n)
    check("gRPC stream", result.as_numpy(name_out))
g.stop_stream()

of_http = http.InferInput(name_in, x.shape, "FP32")
of_http.set_data_from_numpy(x)
for client, tensor in ((h, of_http), (g, i)):
    client.unload_model(model)
    assert not client.is_model_ready(model)
    refused("unloaded", lambda: client.infer(model, [tensor]))
    client.load_model(model)
    assert client.is_model_ready(model)
assert [m["name"] for m in h.get_model_repository_index()] == [model]
assert [m.name for m in g.get_model_repository_index().models] == [model]
print(f"largest difference {worst:g}")
