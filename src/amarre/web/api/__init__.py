"""The REST API under /api/v1: one file a noun. Reads come from `store`, writes are stories."""

from fastapi import APIRouter

from amarre.web.api import events, gateways, instances, profiles

router = APIRouter(prefix="/api/v1")
router.include_router(profiles.router)
router.include_router(instances.router)
router.include_router(gateways.router)
router.include_router(events.router)

__all__ = ["router"]
