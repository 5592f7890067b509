"""What Kubernetes has of the cards, and the Slurm that runs in it."""

from __future__ import annotations

from labtui.model.base import Item


class KubeNode(Item, frozen=True, kw_only=True):
    """A node of Kubernetes, as far as its GPUs go."""

    name: str
    node: str
    """The configured machine it is, else its own name."""
    twin: str | None = None
    """The machine whose address it tells, though another node is that machine."""
    ready: bool | None = None
    unschedulable: bool = False
    slices: int | None = None
    """Allocatable nvidia.com/gpu and nvidia.com/gpu.shared; None where it has none."""
    capacity: int | None = None
    mig: dict[str, int] = {}
    """Allocatable MIG resources: `mig-1g.10gb` -> how many."""
    cards: int | None = None
    """Label nvidia.com/gpu.count."""
    replicas: int | None = None
    """Label nvidia.com/gpu.replicas."""
    product: str | None = None
    """Label nvidia.com/gpu.product."""
    memory_mib: int | None = None
    """Label nvidia.com/gpu.memory: of one card; of an instance where MIG is all it has."""
    sharing: str | None = None
    """Label nvidia.com/gpu.sharing-strategy: `none`, `time-slicing`, `mps`."""
    config: str | None = None
    """Label nvidia.com/device-plugin.config: which entry of the ConfigMap it follows."""


class Pod(Item, frozen=True, kw_only=True):
    """A pod that asks for a GPU."""

    namespace: str
    name: str
    uid: str
    node: str | None = None
    """The configured machine it runs on, else Kubernetes' name of it; None: not placed yet."""
    phase: str
    slices: int = 0
    """nvidia.com/gpu and nvidia.com/gpu.shared in its limits, as the scheduler counts them."""
    mig: dict[str, int] = {}
    reason: str | None = None
    """Why it waits or failed, as Kubernetes says it."""
    reason_text: str | None = None
    """The same in words."""
    created: float | None = None
    since: float | None = None
    """When it started; None while it waits."""
    priority: int | None = None
    owner: str | None = None
    """`Deployment/llama`, `Job/eval`; None: nobody makes it anew when it is deleted."""
    restarts: int | None = None
    cards: tuple[str, ...] = ()
    """The cards that its slices are on, `desktop-gpu:0`, where anybody knows."""


class SlicingConfig(Item, frozen=True, kw_only=True):
    """The device plug-in's ConfigMap: entry -> replicas of nvidia.com/gpu (1: not shared)."""

    namespace: str
    name: str
    entries: dict[str, int]
    default: str | None = None
    """ClusterPolicy's spec.devicePlugin.config.default."""
    renamed: tuple[str, ...] = ()
    """Entries whose slices are called nvidia.com/gpu.shared: pods must ask for that."""
    mps: tuple[str, ...] = ()
    """Entries that share by MPS, not by time-slicing."""
    mig: dict[str, str] = {}
    """Entry -> its flags.migStrategy, where that is not `none`."""
    unread: dict[str, str] = {}
    """Entry -> why it cannot be understood."""


class KubeGpus(Item, frozen=True, kw_only=True):
    """One answer of Kubernetes."""

    nodes: tuple[KubeNode, ...] = ()
    pods: tuple[Pod, ...] = ()
    """Those that ask for a GPU and are not over."""
    slicing: SlicingConfig | None = None
    policy: str | None = None
    """ClusterPolicy's status.state: `ready`, `notReady`, `ignored`."""
    denied: dict[str, str] = {}
    """Part (`pods`, `nodes`, `configmaps`, `clusterpolicies`) -> why it could not be read."""
    unread: dict[str, str] = {}
    """Machine -> what of it, or of a pod on it, cannot be understood and is left out here."""


class SlurmCluster(Item, frozen=True, kw_only=True):
    """A Slurm that Soperator runs (slurm.nebius.ai)."""

    namespace: str
    name: str
    phase: str | None = None
    """`Available`, `Not available`, `Reconciling`; None: the operator has not said."""
    conditions: dict[str, str] = {}
    """Type -> `True`, `False: reason`, `Unknown`."""
    nodesets: dict[str, str] = {}
    """NodeSet -> `Ready 2/2`."""
    login_pod: str | None = None
    """The ready pod through which Slurm's commands can be run."""
    login_fault: str | None = None
    """Why there is none."""
    message: str | None = None
    """What the first condition that does not hold says."""
    slurm: str | None = None
    """What the Slurm that labtui asks says, where it is this one."""
    transport: tuple[str, ...] = ()
    """Lines for labtui's configuration, to run Slurm's commands in its login pod."""
