"""A machine whose sensors are files of a test: the trees that the kernel and a Raspberry Pi's firmware show."""

from __future__ import annotations

from pathlib import Path


class Machine:
    """`root` stands for `/`. Files are replaced as a whole, as the kernel shows them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}")
        partial.write_text(f"{text}\n")
        partial.replace(file)

    def zone(self, celsius: float, kind: str = "cpu-thermal", number: int = 0) -> None:
        self.put(f"sys/class/thermal/thermal_zone{number}/type", kind)
        self.put(f"sys/class/thermal/thermal_zone{number}/temp", round(celsius * 1000))

    def chip(self, name: str, number: int = 0, **files: object) -> None:
        self.put(f"sys/class/hwmon/hwmon{number}/name", name)
        for file, value in files.items():
            self.put(f"sys/class/hwmon/hwmon{number}/{file}", value)

    def firmware(self, bits: int) -> None:
        self.put("sys/devices/platform/soc/soc:firmware/get_throttled", f"{bits:x}")

    def memory(self, available: int, *, used: int | None = None, limit: int | None = None, cached: int = 0, stalled: float = 0.0) -> None:
        """Bytes; `used` by the own control group, `cached` of it files."""
        self.put("proc/meminfo", f"MemTotal:  1000000 kB\nMemAvailable:  {available // 1024} kB")
        if used is not None:
            group = "sys/fs/cgroup/system.slice/edgecam.service"
            self.put("proc/self/cgroup", "0::/system.slice/edgecam.service")
            self.put(f"{group}/memory.current", used)
            self.put(f"{group}/memory.max", "max" if limit is None else limit)
            self.put(f"{group}/memory.high", "max")
            self.put(f"{group}/memory.stat", f"anon 4096\ninactive_file {cached}")
            self.put(f"{group}/memory.pressure", f"some avg10=1.00 avg60=0.00 total=1\nfull avg10={stalled:.2f} avg60=0.00 total=1")

    def interface(self, name: str, sent: int, received: int) -> None:
        self.put(f"sys/class/net/{name}/statistics/tx_bytes", sent)
        self.put(f"sys/class/net/{name}/statistics/rx_bytes", received)
