"""
Set up, start, and show: `python -m hospital.demo [--once]`.

Everything is bound to 127.0.0.1 and talks over HTTP, as in production; only the base URL
of WeChat differs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hospital.demo import commands
from hospital.demo.installation import ROOT, Installation
from hospital.demo.processes import ENDINGS, Died, Processes, is_free

FIRST_PATIENT = 60  # seconds


class PortTaken(Exception):
    """Somebody else listens there."""


def main() -> int:
    options = _options()
    place = Installation(options.var.resolve(), options.port, options.sim_port)
    for ending in ENDINGS:
        signal.signal(ending, _interrupt)  # SIGINT too: a shell's background jobs ignore it
    try:
        _check_ports(place)
        environment = place.prepare()
        with Processes(env=environment, own=place.own, cwd=ROOT, logs=place.logs) as processes:
            _set_up(processes, place)
            if options.once:
                return _one_patient(processes, place)
            _show(place)
            _open_lobby(processes, place)
    except (Died, PortTaken) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n已停止。再次运行 make demo 会保留数据；make demo-reset 清除。")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--sim-port", type=int, default=8001)
    parser.add_argument("--var", type=Path, default=Path(os.environ.get("VAR_DIR", ROOT / "var")))
    return parser.parse_args()


def _check_ports(place: Installation) -> None:
    if place.port == place.sim_port:
        raise PortTaken(f"PORT 与 SIM_PORT 不能都是 {place.port} / PORT and SIM_PORT must differ")
    for port, variable in ((place.port, "PORT"), (place.sim_port, "SIM_PORT")):
        if not is_free(port):
            raise PortTaken(
                f"端口 {port} 已被占用。换一个：make demo {variable}={port + 80}"
                f" / port {port} is in use, choose another with {variable}="
            )


def _set_up(processes: Processes, place: Installation) -> None:
    began = time.monotonic()
    print("[1/4] 密钥      本机独有，保存在 var/keys", flush=True)
    processes.start("simulator", *commands.simulator(place))
    print("[2/4] 模拟微信  " + place.simulator, flush=True)
    processes.wait_for_port(place.sim_port)
    processes.run("setup", *commands.setup(place))
    print("[3/4] 数据库    迁移完成，演示数据就绪", flush=True)
    processes.start("web", *commands.web(place))
    processes.start("worker", *commands.worker(place))
    processes.start("notary", *commands.notary(place))
    processes.wait_for_port(place.port)
    print(
        f"[4/4] 启动      web ✓  worker ✓  notary ✓   共 {time.monotonic() - began:.0f} 秒",
        flush=True,
    )


def _one_patient(processes: Processes, place: Installation) -> int:
    """Return 0 with the visit as the last line, when a stranger became a patient."""
    command = commands.terminal(place, "--once", "--json")
    terminal = processes.start(
        "terminal", *command, stdout=subprocess.PIPE, stderr=sys.stdout.buffer
    )
    out = _wait(processes, terminal)
    lines = out.decode().strip().splitlines()
    if terminal.returncode or not lines:
        raise Died("模拟终端没有完成建档，原因见上")
    visit = json.loads(lines[-1])
    print(json.dumps({name: visit[name] for name in ("state", "patient", "seconds")}))
    return 0 if visit["state"] == "onboarded" else 1


def _wait(processes: Processes, terminal: "subprocess.Popen[bytes]") -> bytes:
    """
    Return what the terminal said.

    :raises Died: time is up, or one of the others ended, which nobody would get past
    """
    until = time.monotonic() + FIRST_PATIENT
    while time.monotonic() < until:
        try:
            return terminal.communicate(timeout=0.2)[0]
        except subprocess.TimeoutExpired:
            processes.check(but=terminal)
    raise Died(f"{FIRST_PATIENT} 秒内没有建档")


def _show(place: Installation) -> None:
    print("─" * 60)
    print(f" 模拟微信   {place.simulator}/")
    print(f" 管理后台   {place.server}/admin/")
    for login in json.loads(place.logins.read_text()):
        print(f" {login['role']:　<6} {login['username']:<10} {login['password']}")
    print(" 首次登录须绑定手机验证器；没有的，用这条命令生成验证码：")
    print(f"   {Path(sys.executable)} -m hospital.demo.authenticator 页面上的密钥")
    print(f" 接口说明   {place.server}/api/docs")
    print(" 停止 Ctrl-C   重置 make demo-reset   换端口 make demo PORT=8080")
    print("─" * 60, flush=True)


def _open_lobby(processes: Processes, place: Installation) -> None:
    """The terminal goes on, a visitor every 20 s, until Ctrl-C or until something dies."""
    processes.start(
        "terminal", *commands.terminal(place, "--every", "20"), stdout=sys.stdout.buffer
    )
    while True:
        processes.check()
        time.sleep(0.5)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
