import subprocess
import sys

import pytest

CODE = """
import os, signal, sys, time
from sot.utils.signals import FirstSignal
first = FirstSignal(lambda number: print("first", number, flush=True), repeat=0, watch=True)
first.catch()
print("ready", flush=True)
os.read(0, 1)  # as a library that waits without looking at signals
time.sleep(60)
"""


@pytest.mark.parametrize("number", [2, 15, 1])
def test_second_signal_ends_a_process_that_waits(number):
    command = [sys.executable, "-c", CODE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"first {number}\n"
        process.send_signal(number)
        assert process.wait(30) == 128 + number
