"""Students' roll over an SFTP drop: gzip CSV in GB18030, with a control file of ``name=value`` lines."""

from connectors.delivery import Fetched, FetchRequest
from connectors.kits import sftp

DIALECT = sftp.Dialect(data_name="education_{day:%Y%m%d}_{scope}.csv.gz", control_name="education_{day:%Y%m%d}_{scope}.ctl")


def fetch(request: FetchRequest) -> Fetched:
    """Ask the agency for a delivery."""
    return Fetched(sftp.stream(request, DIALECT))
