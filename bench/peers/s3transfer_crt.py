"""s3transfer's CRTTransferManager, told what to do in the words of the other peers."""

import os
import sys

import botocore.session
from botocore.config import Config
from s3transfer.crt import (
    BotocoreCRTCredentialsWrapper,
    BotocoreCRTRequestSerializer,
    CRTTransferManager,
    create_s3_crt_client,
)


def manager():
    endpoint = os.environ["ENDPOINT"]
    session = botocore.session.get_session()
    credentials = BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider()
    tls = endpoint.startswith("https:")
    client = create_s3_crt_client(
        "us-east-1",
        crt_credentials_provider=credentials,
        part_size=8 << 20,
        use_ssl=tls,
        verify=os.environ.get("CA") if tls else None,
    )
    settings = {"endpoint_url": endpoint, "config": Config(s3={"addressing_style": "path"})}
    return CRTTransferManager(client, BotocoreCRTRequestSerializer(session, settings | {"region_name": "us-east-1"}))


def calls(transfers, bucket, words):
    """Starts what is asked for; gives a future for each object."""
    match words:
        case ["get", key, path]:
            yield transfers.download(bucket, key, path)
        case ["put", path, key]:
            yield transfers.upload(path, bucket, key)
        case ["get-many", prefix, count, folder]:
            os.makedirs(folder, exist_ok=True)
            for index in range(int(count)):
                yield transfers.download(bucket, f"{prefix}{index:06}", os.path.join(folder, f"{index:06}"))
        case ["put-many", folder, count, prefix]:
            for index in range(int(count)):
                yield transfers.upload(os.path.join(folder, f"{index:06}"), bucket, f"{prefix}{index:06}")
        case ["delete-many", prefix, count]:
            for index in range(int(count)):
                yield transfers.delete(bucket, f"{prefix}{index:06}")
        case _:
            sys.exit("get KEY FILE | put FILE KEY | get-many PREFIX N DIR | put-many DIR N PREFIX | delete-many PREFIX N")


with manager() as transfers:
    for future in list(calls(transfers, os.environ["BUCKET"], sys.argv[1:])):
        future.result()
